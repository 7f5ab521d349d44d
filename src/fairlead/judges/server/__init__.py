"""Judges and critics behind an OpenAI-compatible server."""

from fairlead.judges.server.respondent import ServerRespondent
from fairlead.judges.server.settings import Budget, Price, ServerSettings

__all__ = ["Budget", "Price", "ServerRespondent", "ServerSettings"]
