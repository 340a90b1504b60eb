"""The states of a job at its controller and of a lease at a QPU, and the tables that move them: all of them are here.

A table maps (state, input) to (next state, actions in order).  What is not in it cannot happen: the machine reports
such an input of the peer and drops it, one of this node is an error of ours.
"""

from enum import Enum, auto


class JobState(Enum):
    """Of a job at the controller.  The last three are final."""

    QUEUED = auto()
    COMPILING = auto()  # QPUs are free for it; which, the planner is about to say
    LOADING = auto()  # its QPUs are leased, and get their programs
    RUNNING = auto()
    RETREATING = auto()  # its lease ends early; it will be placed anew
    CANCELLING = auto()  # its lease ends, and so does it
    DONE = auto()
    CANCELLED = auto()
    FAILED = auto()

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({JobState.DONE, JobState.CANCELLED, JobState.FAILED})


class JobInput(Enum):
    """What moves a job."""

    PLACE = auto()  # QPUs are free for it
    UNFIT = auto()  # no QPUs that are there could hold it, or it has been placed too often
    COMPILED = auto()  # its QPUs are still free
    UNPLACED = auto()  # they are not
    LOADED = auto()  # all its QPUs have their programs
    COMPLETE = auto()  # all shots are done, and all its QPUs are free
    BROKEN = auto()  # a QPU is lost, or could not go on
    CANCEL = auto()  # says its owner
    RELEASED = auto()  # all its QPUs are free, or lost


class JobDo(Enum):
    """Actions of the table."""

    COMPILE = auto()  # event Compile
    LOAD = auto()  # send the programs
    RUN = auto()  # send Run to all
    STOP = auto()  # send Stop to all that are not free
    REQUEUE = auto()  # first in the queue
    END = auto()  # it is over: event


_J, _I = JobState, JobInput
JOB_TABLE: dict[tuple[JobState, JobInput], tuple[JobState, tuple[JobDo, ...]]] = {
    (_J.QUEUED, _I.PLACE): (_J.COMPILING, (JobDo.COMPILE,)),
    (_J.QUEUED, _I.UNFIT): (_J.FAILED, (JobDo.END,)),
    (_J.QUEUED, _I.CANCEL): (_J.CANCELLED, (JobDo.END,)),
    (_J.QUEUED, _I.COMPLETE): (_J.DONE, (JobDo.END,)),  # an earlier life has counted its last shot
    (_J.COMPILING, _I.COMPILED): (_J.LOADING, (JobDo.LOAD,)),
    (_J.COMPILING, _I.UNPLACED): (_J.QUEUED, (JobDo.REQUEUE,)),
    (_J.COMPILING, _I.CANCEL): (_J.CANCELLED, (JobDo.END,)),
    (_J.LOADING, _I.LOADED): (_J.RUNNING, (JobDo.RUN,)),
    (_J.LOADING, _I.BROKEN): (_J.RETREATING, (JobDo.STOP,)),
    (_J.LOADING, _I.CANCEL): (_J.CANCELLING, (JobDo.STOP,)),
    (_J.RUNNING, _I.COMPLETE): (_J.DONE, (JobDo.END,)),
    (_J.RUNNING, _I.BROKEN): (_J.RETREATING, (JobDo.STOP,)),
    (_J.RUNNING, _I.CANCEL): (_J.CANCELLING, (JobDo.STOP,)),
    (_J.RETREATING, _I.BROKEN): (_J.RETREATING, ()),
    (_J.RETREATING, _I.RELEASED): (_J.QUEUED, (JobDo.REQUEUE,)),
    (_J.RETREATING, _I.COMPLETE): (_J.DONE, (JobDo.END,)),
    (_J.RETREATING, _I.CANCEL): (_J.CANCELLING, ()),
    (_J.CANCELLING, _I.BROKEN): (_J.CANCELLING, ()),
    (_J.CANCELLING, _I.CANCEL): (_J.CANCELLING, ()),
    (_J.CANCELLING, _I.RELEASED): (_J.CANCELLED, (JobDo.END,)),
}


class LeaseState(Enum):
    """Of a lease at a QPU."""

    LOADING = auto()  # pieces of its program come
    OFFERED = auto()  # the layer above looks at the program
    LOADED = auto()
    RUNNING = auto()
    STOPPING = auto()  # the layer above lets go
    FREE = auto()


class LeaseInput(Enum):
    """What moves a lease."""

    PIECE = auto()
    LAST_PIECE = auto()
    WRONG_PIECE = auto()
    ACCEPT = auto()  # the program can be run, says the layer above
    RUN = auto()
    STOP = auto()
    LOST = auto()  # the controller is gone, or has started anew
    ENDED = auto()  # the layer above has let go of everything


class LeaseDo(Enum):
    """Actions of the table."""

    OFFER = auto()  # event Offered
    CONFIRM = auto()  # send Loaded
    START = auto()  # event Start
    HALT = auto()  # event Halt
    RELEASE = auto()  # send Released


_L, _K = LeaseState, LeaseInput
LEASE_TABLE: dict[tuple[LeaseState, LeaseInput], tuple[LeaseState, tuple[LeaseDo, ...]]] = {
    (_L.LOADING, _K.PIECE): (_L.LOADING, ()),
    (_L.LOADING, _K.LAST_PIECE): (_L.OFFERED, (LeaseDo.OFFER,)),
    (_L.LOADING, _K.WRONG_PIECE): (_L.FREE, (LeaseDo.RELEASE,)),
    (_L.LOADING, _K.STOP): (_L.FREE, (LeaseDo.RELEASE,)),
    (_L.LOADING, _K.LOST): (_L.FREE, ()),
    (_L.OFFERED, _K.ACCEPT): (_L.LOADED, (LeaseDo.CONFIRM,)),
    (_L.OFFERED, _K.ENDED): (_L.FREE, (LeaseDo.RELEASE,)),
    (_L.OFFERED, _K.STOP): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.OFFERED, _K.LOST): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.LOADED, _K.RUN): (_L.RUNNING, (LeaseDo.START,)),
    (_L.LOADED, _K.STOP): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.LOADED, _K.LOST): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.RUNNING, _K.STOP): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.RUNNING, _K.LOST): (_L.STOPPING, (LeaseDo.HALT,)),
    (_L.RUNNING, _K.ENDED): (_L.FREE, (LeaseDo.RELEASE,)),
    (_L.STOPPING, _K.ACCEPT): (_L.STOPPING, ()),
    (_L.STOPPING, _K.STOP): (_L.STOPPING, ()),
    (_L.STOPPING, _K.LOST): (_L.STOPPING, ()),
    (_L.STOPPING, _K.ENDED): (_L.FREE, (LeaseDo.RELEASE,)),
}
