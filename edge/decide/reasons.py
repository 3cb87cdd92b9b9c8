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
    EDGE_BELOW_PRICE = "edge_below_price"
    EDGE_ALREADY_ASKED = "edge_already_asked"
    EDGE_ALREADY_ALARMED = "edge_already_alarmed"
    EDGE_FAIR_SHARE = "edge_fair_share"
    EDGE_BATTERY = "edge_battery"
    CLOUD_ROUTINE = "cloud_routine"
    CLOUD_AUDIT = "cloud_audit"
    CLOUD_VERIFY = "cloud_verify"
    CLOUD_CONFIRM = "cloud_confirm"
    CLOUD_ORIGIN = "cloud_origin"
    FALLBACK_BUDGET_EMPTY = "fallback_budget_empty"
    FALLBACK_RESERVE_KEPT = "fallback_reserve_kept"
    FALLBACK_LEDGER_DOWN = "fallback_ledger_down"
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
    Reason.EDGE_BELOW_PRICE: (
        "a look is worth less than it costs now",
        "询问云侧的价值低于当前价格",
    ),
    Reason.EDGE_ALREADY_ASKED: (
        "the cloud was just asked about this camera",
        "云侧刚刚回答过该摄像头",
    ),
    Reason.EDGE_ALREADY_ALARMED: ("the alarm stands and was checked", "告警已成立且已核实"),
    Reason.EDGE_FAIR_SHARE: (
        "this camera has had more than its share today",
        "该摄像头今日已超出份额",
    ),
    Reason.EDGE_BATTERY: ("the battery is low", "电池电量不足"),
    Reason.CLOUD_ROUTINE: ("a look of the cloud was worth it", "值得由云侧查看"),
    Reason.CLOUD_AUDIT: ("a random check of a quiet frame", "对安静画面的随机抽查"),
    Reason.CLOUD_VERIFY: (
        "the edge was about to alarm, the cloud checked",
        "边侧即将告警,由云侧核实",
    ),
    Reason.CLOUD_CONFIRM: ("the cloud saw fire and looked once more", "云侧已见火情,再次确认"),
    Reason.CLOUD_ORIGIN: (
        "the first picture of a fire, looked at once more",
        "对火情最早画面的再次查看",
    ),
    Reason.FALLBACK_RESERVE_KEPT: (
        "the rest of the budget is kept for more urgent frames, edge result used",
        "剩余预算留给更紧急的画面,使用边侧结果",
    ),
    Reason.FALLBACK_BUDGET_EMPTY: ("budget exhausted, edge result used", "预算不足,使用边侧结果"),
    Reason.FALLBACK_LEDGER_DOWN: (
        "the charge could not be booked on disk, edge result used",
        "磁盘无法记账,使用边侧结果",
    ),
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
