"""Why a frame was answered where it was: a closed set of codes, each with a sentence. Ring: domain.

`edge_*`: the policy kept it. `cloud_*`: it was sent, and a charge is open. `fallback_*`: the policy wanted the cloud
and the edge had to answer.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason a decision can carry; the values are the wire words."""

    EDGE_CONFIDENT = "edge_confident"
    EDGE_POLICY = "edge_policy"
    CLOUD_ROUTINE = "cloud_routine"
    FALLBACK_BUDGET_EMPTY = "fallback_budget_empty"
    FALLBACK_CLOUD_DOWN = "fallback_cloud_down"
    FALLBACK_UPLINK_BUSY = "fallback_uplink_busy"
    FALLBACK_TOO_LATE = "fallback_too_late"
    FALLBACK_TIMEOUT = "fallback_timeout"
    FALLBACK_REFUSED = "fallback_refused"
    FALLBACK_BUSY = "fallback_busy"
    FALLBACK_BAD_ANSWER = "fallback_bad_answer"

    @property
    def is_fallback(self) -> bool:
        """Tell whether the policy wanted the cloud and did not get it."""
        return self.value.startswith("fallback_")


_SENTENCES: dict[Reason, tuple[str, str]] = {
    Reason.EDGE_CONFIDENT: ("the edge is sure", "边侧置信度足够"),
    Reason.EDGE_POLICY: ("the policy keeps this frame at the edge", "策略要求由边侧处理"),
    Reason.CLOUD_ROUTINE: ("the edge was unsure, the cloud answered", "边侧不确定,由云侧回答"),
    Reason.FALLBACK_BUDGET_EMPTY: ("budget exhausted, edge result used", "预算不足,使用边侧结果"),
    Reason.FALLBACK_CLOUD_DOWN: ("cloud is down, edge result used", "云服务不可用,使用边侧结果"),
    Reason.FALLBACK_UPLINK_BUSY: (
        "too many calls wait for the cloud, edge result used",
        "云调用过多,使用边侧结果",
    ),
    Reason.FALLBACK_TOO_LATE: (
        "no time left to ask the cloud, edge result used",
        "剩余时间不足,使用边侧结果",
    ),
    Reason.FALLBACK_TIMEOUT: (
        "cloud did not answer in time, edge result used",
        "云调用超时,使用边侧结果",
    ),
    Reason.FALLBACK_REFUSED: (
        "cloud refused the connection or the call, edge result used",
        "云服务拒绝连接或调用,使用边侧结果",
    ),
    Reason.FALLBACK_BUSY: ("cloud is overloaded, edge result used", "云服务繁忙,使用边侧结果"),
    Reason.FALLBACK_BAD_ANSWER: (
        "cloud's answer was not usable, edge result used",
        "云侧结果无效,使用边侧结果",
    ),
}


def sentence(reason: Reason, *, is_chinese: bool = False) -> str:
    """Say a reason in words."""
    return _SENTENCES[reason][1 if is_chinese else 0]
