"""What the report of an event says, in two languages. Ring: domain."""

from __future__ import annotations

_TEXTS: dict[str, tuple[str, str]] = {
    "lang": ("en", "zh-CN"),
    "title": ("Event report", "事件报告"),
    "fire": ("Fire", "明火"),
    "smoke": ("Smoke", "烟雾"),
    "uncertain": ("Uncertain", "存疑"),
    "none": ("nothing", "无"),
    "test": (
        "TEST: this fire was drawn into the picture by a test. There was no fire.",
        "测试：画面中的火焰由测试程序绘制，并无真实火情。",
    ),
    "confirmed": ("checked by the cloud detector", "已由云端检测器核实"),
    "edge_only": ("seen by the edge alone, not checked", "仅边缘识别，未经核实"),
    "origin": ("Where and when it began", "起火时间与位置"),
    "began": ("It began at", "起始时间"),
    "opened_at": ("Opened at", "事件开启时间"),
    "origin_short": ("Origin", "起火"),
    "utc": ("in UTC", "协调世界时"),
    "camera": ("Camera", "摄像机"),
    "recorder": ("Recorded by", "记录设备"),
    "zone": ("Zone", "区域"),
    "place": ("Place in the picture", "画面中的位置"),
    "box": ("Box", "方框"),
    "pixels": ("pixels", "像素"),
    "found_by": ("Found by", "判定方式"),
    "confidence": ("Confidence", "置信度"),
    "detector": ("local detector, traced back picture by picture", "本地检测器逐帧回溯"),
    "cloud": (
        "local detector, and the cloud looked at this picture",
        "本地检测器回溯，云端核对该画面",
    ),
    "edge": (
        "the edge's own coarse boxes, traced back picture by picture; no detector saw it",
        "边缘粗略定位逐帧回溯（检测器未见）",
    ),
    "earliest": (
        "The trace reached the oldest picture that was kept: the fire may have begun earlier.",
        "回溯已到达所保留的最早画面，火情可能更早开始。",
    ),
    "no_origin": (
        "Origin not traced: this is when the event opened, the fire may have begun earlier.",
        "未追溯到起火点：此为事件开启时间，火情可能更早开始。",
    ),
    "no_box": ("No box could be drawn.", "无法给出方框。"),
    "picture_gone": ("The picture is no longer kept.", "该画面已不再保留。"),
    "growth": ("Growth", "发展过程"),
    "growth_note": (
        "share of the picture that the box covers, over seconds since the origin",
        "方框占画面的比例，横轴为起火后的秒数",
    ),
    "summary": ("The event", "事件概要"),
    "severity": ("What", "类型"),
    "grade": ("Grade", "核实情况"),
    "opened": ("Opened", "开始"),
    "closed": ("Closed", "结束"),
    "still_open": ("still open", "仍在进行"),
    "peak": ("Highest probability", "最高概率"),
    "event_id": ("Event", "事件编号"),
    "frames": ("Pictures", "画面"),
    "frames_gone": ("removed early, because the disk needed room", "因磁盘空间不足提前删除"),
    "timeline": ("Timeline", "时间线"),
    "of": ("of", "/"),
    "shown": (
        "shown here; all are in the folder pictures",
        "张在此显示；全部画面见 pictures 文件夹",
    ),
    "decisions": ("Every decision, and why", "每一次判定及其原因"),
    "time": ("Time", "时间"),
    "picture": ("Picture", "画面"),
    "edge_saw": ("Edge: fire / smoke", "边缘：火 / 烟"),
    "verdict": ("Verdict", "结论"),
    "who": ("By", "由"),
    "why": ("Why", "原因"),
    "model": ("Model", "模型"),
    "by_edge": ("edge", "边缘"),
    "by_cloud": ("cloud", "云端"),
    "by_edge_fallback": ("edge, the cloud could not be had", "边缘（云端不可用）"),
    "unclassified": ("kept as pre-roll, not classified", "预录画面，未分类"),
    "models": ("Models", "模型"),
    "sha": ("SHA-256, first 12 digits", "SHA-256 前 12 位"),
    "facts": ("The camera at that time", "当时的摄像机设置"),
    "clock": ("Clock", "时钟"),
    "clock_source": (
        "pictures carry the time that the camera told",
        "张画面使用摄像机提供的时间",
    ),
    "clock_received": (
        "pictures carry the time of receipt by this box; the camera told none",
        "张画面使用本机接收时间（摄像机未提供）",
    ),
    "clock_delay": ("median time between capture and receipt", "拍摄到接收的中位时差"),
    "reckoned": (
        "The clock of the box was set later. Reckoned by that clock, not recorded:",
        "设备时钟此后被校准。按校准后的时钟推算（非记录值）：",
    ),
    "clock_set": ("The clock of the box was set:", "设备时钟被校准："),
    "clock_set_note": (
        "No recorded time was changed. What was recorded before a setting bears the clock of then; the machine's "
        "monotonic clock tells how long that was before.",
        "所有记录时间均未更改。校准之前的记录沿用当时的时钟，时间间隔由设备的单调时钟得出。",
    ),
    "entry": ("journal entry", "日志条目"),
    "told": ("Who was told", "通知记录"),
    "sink": ("Receiver", "接收方"),
    "message": ("Message", "内容"),
    "result": ("What came of it", "结果"),
    "step_opened": ("alarm", "报警"),
    "step_updated": ("update", "更新"),
    "step_escalated": ("nobody had acknowledged", "无人接警，升级通知"),
    "step_acknowledged": ("acknowledged", "已接警"),
    "step_closed": ("no longer seen", "已不再可见"),
    "delivered": ("delivered", "已送达"),
    "retried": ("not delivered, tried again from then on", "未送达，此后持续重试"),
    "refused": ("refused by the receiver", "被接收方拒绝"),
    "held_back": (
        "held back, this camera's alarm before was told moments earlier",
        "暂缓：该摄像机刚刚报过警",
    ),
    "told_nobody": ("No message to anybody is on record.", "没有通知记录。"),
    "people": ("What people said", "人工记录"),
    "acknowledged": ("Acknowledged", "已接警"),
    "marked": ("Marked", "标注"),
    "mark_true": ("true fire", "真实火情"),
    "mark_false": ("false alarm", "误报"),
    "mark_other": ("something else", "其他"),
    "held": ("Held", "保留"),
    "by": ("by", "操作人"),
    "nobody": ("Nobody has said anything yet.", "尚无人工记录。"),
    "integrity": ("Unaltered?", "完整性"),
    "integrity_note": (
        "Every entry of the box's journal carries the hash of all entries before it. The program verify.py in this "
        "package follows that chain and checks every file. It needs only Python 3:",
        "本机日志的每一条记录都包含此前所有记录的哈希。本包中的 verify.py 会沿该哈希链检查每一个文件，只需 Python 3：",
    ),
    "integrity_limit": (
        "A chain proves age only against a hash that was noted elsewhere: the box writes the chain's hash to its log "
        "once a day. A package that was made later leads to it: python3 verify.py event.zip HASH. This page is not in "
        "the chain; verify.py tells what the journal says, to be held against it.",
        "哈希链只有与另处记录的哈希比对才能证明时间:本机每天将链的哈希写入日志,此后生成的数据包包含该哈希:"
        "python3 verify.py event.zip 哈希。本页不在哈希链中;verify.py 会给出日志所记内容,以供核对。",
    ),
    "entries": ("Journal entries", "日志条目"),
    "chain_begin": ("Chain before", "链起点"),
    "chain_end": ("Chain at the end", "链终点"),
    "files": ("The pictures, each with its hash", "画面文件及其哈希"),
    "files_note": (
        "As they were judged: private zones are black, and nothing was drawn in afterwards.",
        "均为判定时的画面：隐私区域已涂黑，此后未绘制任何内容。",
    ),
    "file": ("File", "文件"),
    "damaged": (
        "These entries of the journal were altered or damaged on the box before this export, and nothing here is made "
        "of them:",
        "以下日志条目在导出前已被更改或损坏，本页内容不含这些条目：",
    ),
    "lost": (
        "These pictures were altered or lost on the box before this export:",
        "以下画面在导出前已被更改或丢失：",
    ),
    "standing": (
        "Emberlink supplements listed fire alarms. It never replaces one.",
        "Emberlink 为辅助预警，不替代消防报警设备。",
    ),
    "upper": ("upper", "上"),
    "middle": ("middle", "中"),
    "lower": ("lower", "下"),
    "left": ("left", "左"),
    "centre": ("centre", "中"),
    "right": ("right", "右"),
}


def texts(*, is_chinese: bool) -> dict[str, str]:
    """Give all texts by their name."""
    return {name: pair[is_chinese] for name, pair in _TEXTS.items()}
