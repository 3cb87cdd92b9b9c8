"""The one catalogue of errors. Ring: domain.

Numbers never change meaning and are never used twice; a test pins the table. Ranges: 0 success, 100–599 plain
HTTP, 1000 the request, 2000 model, 3000 the link edge–cloud, 4000 storage, 5000 cameras, 9000 our own mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One kind of error: what the caller sees, and what a person can do about it."""

    number: int
    slug: str
    http_status: int
    text_en: str
    text_zh: str
    hint: str
    hint_zh: str
    retryable: bool = field(default=False, kw_only=True)


class ErrorCode(Enum):
    """Every error either service can answer with."""

    # A table: name, number, slug and HTTP status; what it is, and what to do about it, in English and Chinese.
    # fmt: off
    SUCCESS = ErrorRow(0, "success", 200,
        "success", "成功",
        "Nothing to do.",
        "无需处理。")

    # Plain HTTP.
    HTTP_BAD_REQUEST = ErrorRow(400, "bad-request", 400,
        "bad request", "请求无效",
        "The HTTP request itself is malformed; check the client.",
        "HTTP 请求本身格式有误，请检查客户端。")
    HTTP_NOT_FOUND = ErrorRow(404, "not-found", 404,
        "not found", "未找到",
        "Check the path and the names in it; `/docs` lists every route.",
        "请检查路径及其中的名称；`/docs` 列出所有路径。")
    HTTP_METHOD_NOT_ALLOWED = ErrorRow(405, "method-not-allowed", 405,
        "method not allowed", "方法不被允许",
        "The Allow header names the methods this route takes.",
        "Allow 头列出了该路径接受的方法。")
    HTTP_BODY_TOO_LARGE = ErrorRow(413, "body-too-large", 413,
        "body too large", "请求体过大",
        "GET /version tells the limit; send a smaller picture or fewer of them.",
        "上限见 GET /version；请发送更小或更少的图片。")
    HTTP_RATE_LIMITED = ErrorRow(429, "too-many-requests", 429,
        "too many requests", "请求过于频繁",
        "Wait as long as Retry-After says.",
        "请按 Retry-After 的时间等待后重试。", retryable=True)
    HTTP_UNAVAILABLE = ErrorRow(503, "unavailable", 503,
        "service unavailable", "服务暂不可用",
        "The service is starting, stopping or overloaded; wait as long as Retry-After says.",
        "服务正在启动、停止或过载，请按 Retry-After 等待后重试。", retryable=True)

    # The request.
    REQUEST_NOT_JSON = ErrorRow(1001, "not-json", 400,
        "body is not valid JSON", "请求体不是合法的 JSON",
        "Send UTF-8 JSON without NaN or Infinity, an object at the top.",
        "请发送 UTF-8 JSON，顶层为对象，不含 NaN 或 Infinity。")
    REQUEST_CONTENT_TYPE = ErrorRow(1002, "content-type", 415,
        "content type not supported", "不支持的内容类型",
        "Use image/jpeg, image/png, multipart/form-data (field image) or application/json (base64 in image).",
        "请使用 image/jpeg、image/png、multipart/form-data（字段 image）或 application/json（image 为 base64）。")
    REQUEST_FIELD_MISSING = ErrorRow(1003, "field-missing", 400,
        "a required field is missing", "缺少必填字段",
        "The detail names the field.",
        "缺少的字段见详情。")
    REQUEST_FIELD_INVALID = ErrorRow(1004, "field-invalid", 400,
        "a field has an invalid value", "字段取值无效",
        "The detail names the field, the value and what is allowed.",
        "详情说明了字段、取值及允许的范围。")
    REQUEST_BASE64 = ErrorRow(1005, "bad-base64", 400,
        "image is not valid base64", "图片不是合法的 base64",
        "Standard alphabet with padding; a data: URL prefix is allowed.",
        "请使用带填充的标准字母表，可带 data: URL 前缀。")
    IMAGE_NOT_A_PICTURE = ErrorRow(1006, "not-a-picture", 400,
        "bytes are not a JPEG or PNG picture", "数据不是 JPEG 或 PNG 图片",
        "Only JPEG and PNG are accepted; the first bytes decide, not the name.",
        "仅支持 JPEG 与 PNG，以文件头为准而非扩展名。请另存为 JPEG 后重试。")
    IMAGE_DAMAGED = ErrorRow(1007, "damaged-picture", 400,
        "picture is cut or damaged", "图片不完整或已损坏",
        "The file ends early or its data is corrupt; send it again from the source.",
        "文件不完整或已损坏，请从来源重新获取。")
    IMAGE_TOO_MANY_PIXELS = ErrorRow(1008, "too-many-pixels", 413,
        "picture has too many pixels", "图片像素过多",
        "GET /version tells the limit; the header of the picture counts, before anything is decoded.",
        "上限见 GET /version，以图片头声明的尺寸为准。请缩小图片尺寸后重试。")
    IMAGE_TOO_SMALL = ErrorRow(1009, "picture-too-small", 400,
        "picture is too small", "图片过小",
        "Both sides must be at least 16 pixels.",
        "宽和高均须至少 16 像素，请使用更大的图片。")
    IMAGE_TOO_MANY_BYTES = ErrorRow(1010, "picture-too-large", 413,
        "picture has too many bytes", "图片字节数过多",
        "GET /version tells the limit; encode with a lower quality or size.",
        "上限见 GET /version；请减小尺寸或降低质量后重试。")
    BATCH_TOO_LARGE = ErrorRow(1011, "batch-too-large", 413,
        "too many pictures in one batch", "批量图片过多",
        "GET /version tells the limit; split the batch.",
        "上限见 GET /version；请分批发送。")
    IMAGE_PATH_DISABLED = ErrorRow(1012, "image-path-disabled", 403,
        "image_path is switched off", "image_path 未启用",
        "Send the picture itself, or configure image_roots on the cloud service.",
        "请直接发送图片，或在云端服务中配置 image_roots。")
    IMAGE_PATH_FORBIDDEN = ErrorRow(1013, "image-path-forbidden", 403,
        "image_path lies outside the allowed folders", "image_path 不在允许的目录内",
        "Only regular files inside the configured image_roots can be read.",
        "只能读取 image_roots 所列目录内的普通文件。")
    REQUEST_DEADLINE_INVALID = ErrorRow(1014, "deadline-invalid", 400,
        "X-Request-Deadline-Ms is not usable", "截止时间头无效",
        "Milliseconds that remain, a whole number from 1 to 600000.",
        "应为剩余毫秒数，1 至 600000 的整数。")
    IDEMPOTENCY_KEY_REUSED = ErrorRow(1015, "idempotency-key-reused", 422,
        "Idempotency-Key was used for another request", "幂等键已用于另一个请求",
        "Send a new key with every new request; a key belongs to one route and one body.",
        "每个新请求使用新的键；一个键只对应一个路径和一个请求体。")
    IDEMPOTENCY_RUNNING = ErrorRow(1016, "idempotency-running", 409,
        "the request with this Idempotency-Key is still running", "使用该幂等键的请求仍在处理中",
        "Come back after Retry-After with the same key, or fetch GET /infer/result/<key>.",
        "请按 Retry-After 以同一键重试，或查询 GET /infer/result/<key>。", retryable=True)
    RESULT_UNKNOWN = ErrorRow(1017, "result-unknown", 404,
        "no result has this id", "没有该编号的结果",
        "Check the id; results are shown to their creator only, and forgotten some time after they expired.",
        "请检查编号；结果仅对其创建者可见，过期一段时间后即被清除。")
    RESULT_EXPIRED = ErrorRow(1018, "result-expired", 410,
        "the result has expired", "结果已过期",
        "Fetch results within jobs.ttl_s, or name a callback_url; send the picture again.",
        "请在 jobs.ttl_s 内取回结果或设置 callback_url；请重新发送图片。")
    CALLBACK_FORBIDDEN = ErrorRow(1019, "callback-forbidden", 403,
        "callback_url is not allowed", "回调地址未被允许",
        "The operator lists allowed addresses in callbacks.allowed; poll the result otherwise.",
        "允许的地址由管理员在 callbacks.allowed 中列出；否则请轮询结果。")
    SIGNATURE_MISSING = ErrorRow(1020, "signature-missing", 401,
        "the request is not signed", "请求未签名",
        "Set cloud.edge_id and cloud.key_file on the edge; `emberlink-cloud keys new EDGE` makes a key.",
        "请在边缘设置 cloud.edge_id 与 cloud.key_file；用 `emberlink-cloud keys new EDGE` 生成密钥。")
    SIGNATURE_INVALID = ErrorRow(1021, "signature-invalid", 401,
        "the signature is not right", "签名无效",
        "Compare edge_id and key on both sides; a proxy between them must not change path, query or body.",
        "请核对两端的 edge_id 与密钥；中间的代理不得改动路径、查询或请求体。")
    SIGNATURE_CLOCK = ErrorRow(1022, "signature-clock", 401,
        "the signature's time is too far from the server's clock", "签名时间与服务器时钟相差过大",
        "Set the clock of the box that is wrong (NTP); the detail tells by how much they differ.",
        "请校准时间有误的设备（NTP）；详情给出相差多少。")
    SIGNATURE_REPLAYED = ErrorRow(1023, "signature-replayed", 401,
        "the signed request was sent before", "已签名的请求被重复发送",
        "Sign every try anew; a repeated message that you did not send may be an attack.",
        "每次重试都须重新签名；若并非由您发送，可能是攻击。")
    NOT_ALLOWED = ErrorRow(1024, "not-allowed", 403,
        "the caller may not do this", "调用者无权执行此操作",
        "Changes need an admin: signed in, with a token, or on the cloud with a request signed by `admin`.",
        "更改需要管理员：登录、使用令牌，或在云端以 `admin` 签名请求。")
    SIGN_IN_NEEDED = ErrorRow(1030, "sign-in-needed", 401,
        "sign in first", "请先登录",
        "Open /login, or send `Authorization: Bearer TOKEN`; `users add` and `tokens add` make both.",
        "请打开 /login，或发送 `Authorization: Bearer TOKEN`；用 `users add` 与 `tokens add` 创建。")
    SIGN_IN_WRONG = ErrorRow(1031, "sign-in-wrong", 401,
        "name or password is not right", "用户名或密码不正确",
        "Try again; `users add NAME --role ROLE --replace` on the box gives a new password.",
        "请重试；在设备上用 `users add NAME --role ROLE --replace` 可设置新密码。")
    FORGED_CHANGE = ErrorRow(1032, "forged-change", 403,
        "the change does not come from a page of this console", "该更改并非来自本控制台页面",
        "Reload the page and try again; a program sends a token in Authorization instead of a cookie.",
        "请重新加载页面后重试；程序应在 Authorization 中使用令牌，而不是 Cookie。")

    # The model.
    MODEL_NOT_READY = ErrorRow(2001, "model-not-ready", 503,
        "model is not loaded", "模型尚未加载",
        "The service is starting or its model was refused; GET /readyz tells which.",
        "服务正在启动，或模型被拒绝；GET /readyz 说明是哪一种。", retryable=True)
    MODEL_FAILED = ErrorRow(2002, "model-failed", 500,
        "inference failed", "推理失败",
        "The log names the cause under the same req_id; if it repeats, run `check`.",
        "日志以同一 req_id 记录原因；若反复出现，请运行 `check`。", retryable=True)
    MODEL_REFUSED = ErrorRow(2003, "model-refused", 500,
        "model artifact was refused", "模型文件被拒绝",
        "A hash, label or input shape differs from its manifest; fetch the artifact again.",
        "哈希、标签或输入形状与清单不符，请重新获取模型文件。")
    RUNTIME_CONFLICT = ErrorRow(2004, "runtime-conflict", 500,
        "two ONNX runtimes are installed", "同时安装了两个 ONNX Runtime",
        "onnxruntime and onnxruntime-gpu overwrite each other; uninstall both, then install one extra.",
        "onnxruntime 与 onnxruntime-gpu 会互相覆盖；请全部卸载，然后只安装一个。")

    EDGE_OVERLOADED = ErrorRow(2005, "edge-overloaded", 503,
        "edge is busy with other pictures", "边缘正忙于处理其他图片",
        "Wait as long as Retry-After says, or post fewer pictures at once; cameras are never refused.",
        "请按 Retry-After 的时间等待，或减少同时提交的图片；摄像头画面从不拒绝。", retryable=True)

    # The link between edge and cloud.
    CLOUD_UNREACHABLE = ErrorRow(3001, "cloud-unreachable", 502,
        "cloud cannot be reached", "无法连接云端",
        "Check the address, the firewall (port 5001) and the cloud's /readyz.",
        "请检查地址、防火墙（端口 5001）以及云端的 /readyz。", retryable=True)
    CLOUD_TIMEOUT = ErrorRow(3002, "cloud-timeout", 504,
        "cloud did not answer in time", "云端响应超时",
        "The link or the cloud is slow; the edge's answer was used.",
        "链路或云端较慢，已采用边缘的判定。", retryable=True)
    CLOUD_BAD_ANSWER = ErrorRow(3003, "cloud-bad-answer", 502,
        "cloud's answer is not usable", "云端响应无效",
        "What answers there is not an Emberlink cloud, or another version; open its /version.",
        "对方不是 Emberlink 云端，或版本不同；请查看其 /version。")
    CLOUD_OVERLOADED = ErrorRow(3004, "cloud-overloaded", 503,
        "cloud queue is full", "云端队列已满",
        "Wait as long as Retry-After says, or add a worker.",
        "请按 Retry-After 等待，或增加工作进程。", retryable=True)
    DEADLINE_MISSED = ErrorRow(3005, "deadline-missed", 504,
        "deadline cannot be met", "无法在截止时间前完成",
        "Allow more time in X-Request-Deadline-Ms, or send fewer frames.",
        "请在 X-Request-Deadline-Ms 中给出更多时间，或减少发送的画面。", retryable=True)
    CLOUD_REFUSED = ErrorRow(3006, "cloud-refused", 502,
        "cloud refused the request", "云端拒绝了请求",
        "The detail holds the cloud's own code; it is not tried again as it is.",
        "详情包含云端自身的错误码；不会原样重试。")
    ENGINE_UNAVAILABLE = ErrorRow(3007, "engine-unavailable", 503,
        "the queue before the workers cannot be reached", "无法连接任务队列",
        "Check redis.url, that Redis runs and that maxmemory-policy is noeviction.",
        "请检查 redis.url、Redis 是否运行，以及 maxmemory-policy 是否为 noeviction。", retryable=True)
    JOB_GIVEN_UP = ErrorRow(3008, "job-given-up", 500,
        "the picture was given up", "图片已被放弃处理",
        "Worker after worker died over this picture; the log of the workers names it.",
        "多个工作进程因该图片退出；工作进程的日志中有其名称。")

    # Storage and evidence.
    STORE_UNAVAILABLE = ErrorRow(4001, "store-unavailable", 503,
        "state cannot be read or written", "状态存储不可读写",
        "Check the state folder: its disk, owner and mode.",
        "请检查状态目录：磁盘、属主与权限。", retryable=True)
    STORE_SCHEMA = ErrorRow(4002, "store-schema", 500,
        "state was written by a newer version", "状态由更新的版本写入",
        "Install that version again, or start with another --state folder.",
        "请重新安装该版本，或用 --state 指定其他目录。")
    EVENT_UNKNOWN = ErrorRow(4003, "event-unknown", 404,
        "no event has this id", "没有该编号的事件",
        "GET /events or `evidence ls` lists what is kept; evidence.keep_days ends it unless it is held.",
        "GET /events 列出留存的事件；未长期保留的事件在 evidence.keep_days 后删除。")
    FRAME_UNKNOWN = ErrorRow(4004, "frame-unknown", 404,
        "no frame of this event has this id", "该事件没有此编号的画面",
        "GET /events/<id> lists the event's frames; some may have made room when the disk was full.",
        "GET /events/<id> 列出该事件的画面；磁盘写满时部分画面可能已被清理。")
    EVIDENCE_DAMAGED = ErrorRow(4005, "evidence-damaged", 500,
        "evidence is not as it was written", "证据与写入时不一致",
        "`emberlink-edge evidence verify` names every file and row that was changed, lost or added.",
        "`emberlink-edge evidence verify` 会列出每个被改动、丢失或新增的文件与记录。")
    BACKUP_DAMAGED = ErrorRow(4006, "backup-damaged", 500,
        "backup cannot be restored", "备份无法恢复",
        "The file is cut, changed or no backup; nothing was touched. Take an older one.",
        "文件不完整、被改动或不是备份；未作任何更改。请使用更早的备份。")

    # Cameras.
    CAMERA_UNAVAILABLE = ErrorRow(5001, "camera-unavailable", 503,
        "camera cannot be read", "无法读取摄像头",
        "Check its power, address and password; it is tried again with growing pauses.",
        "请检查电源、地址与密码；系统会以递增间隔自动重试。", retryable=True)
    CAMERA_SOURCE_INVALID = ErrorRow(5002, "camera-source-invalid", 500,
        "camera source is not usable", "摄像头来源无效",
        "Use rtsp://, http:// of a snapshot, /dev/videoN, a video file, a folder of pictures, push: or sim:.",
        "请使用 rtsp://、快照的 http:// 地址、/dev/videoN、视频文件、图片目录、push: 或 sim:。")
    SELFTEST_RUNNING = ErrorRow(5003, "selftest-running", 409,
        "a test alarm is under way", "测试报警正在进行",
        "Wait for its result at GET /selftest; a test takes a minute at most.",
        "请在 GET /selftest 等待结果；测试最多需一分钟。", retryable=True)

    # Our own mistakes.
    CONFIG_INVALID = ErrorRow(9001, "config-invalid", 500,
        "configuration is not valid", "配置无效",
        "Correct what the detail names; docs/settings.md lists every setting, `check --config FILE` tries them.",
        "请改正详情所指之处；docs/settings.md 列出全部设置，`check --config FILE` 可预先检查。")
    INTERNAL = ErrorRow(9002, "internal", 500,
        "internal error", "内部错误",
        "Our mistake: the log holds the details under the same req_id.",
        "这是软件自身的错误；日志以同一 req_id 记录了详情。")
    COMMAND_REFUSED = ErrorRow(9003, "command-refused", 500,
        "the command cannot be carried out", "命令无法执行",
        "The detail says what stands in the way; nothing was changed.",
        "详情说明了原因；未作任何更改。")
    # fmt: on

    @property
    def row(self) -> ErrorRow:
        """Give the catalogue row."""
        value: ErrorRow = self.value
        return value


def by_slug(slug: str) -> ErrorCode | None:
    """Find a code by its slug, the last part of the `type` of a problem document."""
    return next((code for code in ErrorCode if code.row.slug == slug), None)


def by_http_status(status: int) -> ErrorCode:
    """Choose the plain HTTP code for a status that the web framework raised."""
    for code in ErrorCode:
        if code.row.number == status:
            return code
    # 501 and 505 tell of what the caller's HTTP wants, not of a mistake of ours.
    return (
        ErrorCode.HTTP_BAD_REQUEST if status < 500 or status in (501, 505) else ErrorCode.INTERNAL
    )
