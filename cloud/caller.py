"""Who asks: whose results these are, and who shares the house with others. Ring: rim."""

from __future__ import annotations

from flask import g, request

from shared.roles import Visitor


def signer() -> str:
    """Name the edge that signed this request; "" when none did."""
    return str(g.get("edge_id", ""))


def owner() -> str:
    """Name who sees the results of this request: the edge, the user or token, or "" for all who did not say."""
    visitor: Visitor | None = g.get("visitor")
    if signer() or visitor is None or not visitor.is_known:
        return signer()
    return f"@{visitor.name}"  # no edge can be called so


def lane() -> str:
    """Name who shares the house with others: whoever said who they are, or the address it came from."""
    return owner() or request.remote_addr or ""
