"""TTP, time transfer: a node sets its clock by its time server's, a neighbour's.  TTP-n: ttp.toml.

`node` is both sides of one node: the client of its server, if it has one, and the server of whoever asks; `servo`
turns measured offsets into steering; states and table stand in `states`.

Theory of operation.  At every interval a client sends a Request, and the server answers at once.  Of the four times,
t1 (sent) and t4 (the answer received) are of the client's clock, t2 (received) and t3 (answered) of the server's, all
taken by the NICs as the frames pass:

    offset = ((t2 - t1) + (t3 - t4)) / 2        how far the server's clock is ahead
    delay  = (t4 - t1) - (t3 - t2)              there and back

The offset is wrong by half of what the way there takes longer than the way back, and by half the noise of the four
times; nothing in the exchange tells the former.  Of a way that is sometimes slow only the quickest recent exchanges
are believed.

A clock that has not been set is set by the first exchange; the second, an interval later, tells its rate.  From then
on it is only made to run faster or slower (proportional and integral), so that no time is shown twice or left out; it
is set again only when it is off by more than any delay could explain.  A server that cannot be heard leaves the clock
running at the rate that was right so far.
"""

from protocols.ttp.node import HOLD, Ttp
from protocols.ttp.states import Exchange, Steer, TimeState, Turned

__all__ = ["HOLD", "Exchange", "Steer", "TimeState", "Ttp", "Turned"]
