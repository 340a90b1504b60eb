"""Who may do what at the embedded broker: amqtt's plugins of ours.

What may live here: those rights.  Anybody on this machine may read.  Who publishes for the run has its password; who
gives commands has that of ``operator``, which stands in a file that only the user can read.
"""

import hmac
from dataclasses import dataclass, field
from typing import Any

from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from testbed.broker import OPERATOR, PUBLISHER


@dataclass
class _Passwords:
    passwords: dict[str, str] = field(default_factory=dict)


class Passwords(BaseAuthPlugin):  # type: ignore[misc]
    """Those who name themselves must know their password; those who do not may come in all the same."""

    Config = _Passwords

    async def authenticate(self, *, session: Any) -> bool:
        name = session.username
        if name is None:
            session.is_anonymous = True
            return True
        known = self._get_config_option("passwords", {}).get(name)
        return known is not None and hmac.compare_digest(known, session.password or "")


class TopicRights(BaseTopicPlugin):  # type: ignore[misc]
    """Reading is free; commands are the operator's, all else is the publisher's."""

    async def topic_filtering(
        self, *, session: Any = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        if action is not Action.PUBLISH:
            return True
        name = None if session is None else session.username
        levels = (topic or "").split("/")
        if name == PUBLISHER:
            return levels[0] == "bellwire"
        return name == OPERATOR and len(levels) == 4 and levels[0] == "bellwire" and levels[2] == "request"


__all__ = ["Passwords", "TopicRights"]
