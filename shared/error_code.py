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
    retryable: bool = field(default=False, kw_only=True)


class ErrorCode(Enum):
    """Every error either service can answer with."""

    # A table: name, number, slug and HTTP status; what it is in English and Chinese; what to do about it.
    # fmt: off
    SUCCESS = ErrorRow(0, "success", 200,
        "success", "成功",
        "Nothing to do.")

    # Plain HTTP.
    HTTP_BAD_REQUEST = ErrorRow(400, "bad-request", 400,
        "bad request", "请求无效",
        "The HTTP request itself is malformed; check the client.")
    HTTP_NOT_FOUND = ErrorRow(404, "not-found", 404,
        "no such route", "路径不存在",
        "Check the path; `/docs` lists every route.")
    HTTP_METHOD_NOT_ALLOWED = ErrorRow(405, "method-not-allowed", 405,
        "method not allowed", "方法不被允许",
        "The Allow header names the methods this route takes.")
    HTTP_BODY_TOO_LARGE = ErrorRow(413, "body-too-large", 413,
        "body too large", "请求体过大",
        "GET /version tells the limit; send a smaller picture or fewer of them.")
    HTTP_RATE_LIMITED = ErrorRow(429, "too-many-requests", 429,
        "too many requests", "请求过于频繁",
        "Wait as long as Retry-After says.", retryable=True)
    HTTP_UNAVAILABLE = ErrorRow(503, "unavailable", 503,
        "service unavailable", "服务暂不可用",
        "The service is starting, stopping or overloaded; wait as long as Retry-After says.", retryable=True)

    # The request.
    REQUEST_NOT_JSON = ErrorRow(1001, "not-json", 400,
        "body is not valid JSON", "请求体不是合法的 JSON",
        "Send UTF-8 JSON without NaN or Infinity, an object at the top.")
    REQUEST_CONTENT_TYPE = ErrorRow(1002, "content-type", 415,
        "content type not supported", "不支持的内容类型",
        "Use image/jpeg, image/png, multipart/form-data (field image) or application/json (base64 in image).")
    REQUEST_FIELD_MISSING = ErrorRow(1003, "field-missing", 400,
        "a required field is missing", "缺少必填字段",
        "The detail names the field.")
    REQUEST_FIELD_INVALID = ErrorRow(1004, "field-invalid", 400,
        "a field has an invalid value", "字段取值无效",
        "The detail names the field, the value and what is allowed.")
    REQUEST_BASE64 = ErrorRow(1005, "bad-base64", 400,
        "image is not valid base64", "图片不是合法的 base64",
        "Standard alphabet with padding; a data: URL prefix is allowed.")
    IMAGE_NOT_A_PICTURE = ErrorRow(1006, "not-a-picture", 400,
        "bytes are not a JPEG or PNG picture", "数据不是 JPEG 或 PNG 图片",
        "Only JPEG and PNG are accepted; the first bytes decide, not the name.")
    IMAGE_DAMAGED = ErrorRow(1007, "damaged-picture", 400,
        "picture is cut or damaged", "图片不完整或已损坏",
        "The file ends early or its data is corrupt; send it again from the source.")
    IMAGE_TOO_MANY_PIXELS = ErrorRow(1008, "too-many-pixels", 413,
        "picture has too many pixels", "图片像素过多",
        "GET /version tells the limit; the header of the picture counts, before anything is decoded.")
    IMAGE_TOO_SMALL = ErrorRow(1009, "picture-too-small", 400,
        "picture is too small", "图片过小",
        "Both sides must be at least 16 pixels.")
    IMAGE_TOO_MANY_BYTES = ErrorRow(1010, "picture-too-large", 413,
        "picture has too many bytes", "图片字节数过多",
        "GET /version tells the limit; encode with a lower quality or size.")
    BATCH_TOO_LARGE = ErrorRow(1011, "batch-too-large", 413,
        "too many pictures in one batch", "批量图片过多",
        "GET /version tells the limit; split the batch.")
    IMAGE_PATH_DISABLED = ErrorRow(1012, "image-path-disabled", 403,
        "image_path is switched off", "image_path 未启用",
        "Send the picture itself, or configure image_roots on the cloud service.")
    IMAGE_PATH_FORBIDDEN = ErrorRow(1013, "image-path-forbidden", 403,
        "image_path lies outside the allowed folders", "image_path 不在允许的目录内",
        "Only regular files inside the configured image_roots can be read.")
    REQUEST_DEADLINE_INVALID = ErrorRow(1014, "deadline-invalid", 400,
        "X-Request-Deadline-Ms is not usable", "截止时间头无效",
        "Milliseconds that remain, a whole number from 1 to 600000.")
    IDEMPOTENCY_KEY_REUSED = ErrorRow(1015, "idempotency-key-reused", 422,
        "Idempotency-Key was used for another request", "幂等键已用于另一个请求",
        "Send a new key with every new request; a key belongs to one route and one body.")
    IDEMPOTENCY_RUNNING = ErrorRow(1016, "idempotency-running", 409,
        "the request with this Idempotency-Key is still running", "使用该幂等键的请求仍在处理中",
        "Come back after Retry-After with the same key, or fetch GET /infer/result/<key>.", retryable=True)
    RESULT_UNKNOWN = ErrorRow(1017, "result-unknown", 404,
        "no result has this id", "没有该编号的结果",
        "Check the id; results are shown to their creator only, and forgotten some time after they expired.")
    RESULT_EXPIRED = ErrorRow(1018, "result-expired", 410,
        "the result has expired", "结果已过期",
        "Fetch results within jobs.ttl_s, or name a callback_url; send the picture again.")
    CALLBACK_FORBIDDEN = ErrorRow(1019, "callback-forbidden", 403,
        "callback_url is not allowed", "回调地址未被允许",
        "The operator lists allowed addresses in callbacks.allowed; poll the result otherwise.")
    SIGNATURE_MISSING = ErrorRow(1020, "signature-missing", 401,
        "the request is not signed", "请求未签名",
        "Set cloud.edge_id and cloud.key_file on the edge; `emberlink-cloud keys new EDGE` makes a key.")
    SIGNATURE_INVALID = ErrorRow(1021, "signature-invalid", 401,
        "the signature is not right", "签名无效",
        "Compare edge_id and key on both sides; a proxy between them must not change path, query or body.")
    SIGNATURE_CLOCK = ErrorRow(1022, "signature-clock", 401,
        "the signature's time is too far from the server's clock", "签名时间与服务器时钟相差过大",
        "Set the clock of the box that is wrong (NTP); the detail tells by how much they differ.")
    SIGNATURE_REPLAYED = ErrorRow(1023, "signature-replayed", 401,
        "the signed request was sent before", "已签名的请求被重复发送",
        "Sign every try anew; a repeated message that you did not send may be an attack.")
    NOT_ALLOWED = ErrorRow(1024, "not-allowed", 403,
        "the caller may not do this", "调用者无权执行此操作",
        "Changes need an admin: signed in, with a token, or on the cloud with a request signed by `admin`.")
    SIGN_IN_NEEDED = ErrorRow(1030, "sign-in-needed", 401,
        "sign in first", "请先登录",
        "Open /login, or send `Authorization: Bearer TOKEN`; `users add` and `tokens add` make both.")
    SIGN_IN_WRONG = ErrorRow(1031, "sign-in-wrong", 401,
        "name or password is not right", "用户名或密码不正确",
        "Try again; `users add NAME` on the box gives a new password.")
    FORGED_CHANGE = ErrorRow(1032, "forged-change", 403,
        "the change does not come from a page of this console", "该更改并非来自本控制台页面",
        "Reload the page and try again; a program sends a token in Authorization instead of a cookie.")

    # The model.
    MODEL_NOT_READY = ErrorRow(2001, "model-not-ready", 503,
        "model is not loaded", "模型尚未加载",
        "The service is starting or its model was refused; GET /readyz tells which.", retryable=True)
    MODEL_FAILED = ErrorRow(2002, "model-failed", 500,
        "inference failed", "推理失败",
        "The log names the cause under the same req_id; if it repeats, run `check`.", retryable=True)
    MODEL_REFUSED = ErrorRow(2003, "model-refused", 500,
        "model artifact was refused", "模型文件被拒绝",
        "A hash, label or input shape differs from its manifest; fetch the artifact again.")
    RUNTIME_CONFLICT = ErrorRow(2004, "runtime-conflict", 500,
        "two ONNX runtimes are installed", "同时安装了两个 ONNX Runtime",
        "onnxruntime and onnxruntime-gpu overwrite each other; uninstall both, then install one extra.")

    EDGE_OVERLOADED = ErrorRow(2005, "edge-overloaded", 503,
        "edge is busy with other pictures", "边侧正忙于处理其他图片",
        "Wait as long as Retry-After says, or post fewer pictures at once; cameras are never refused.", retryable=True)

    # The link between edge and cloud.
    CLOUD_UNREACHABLE = ErrorRow(3001, "cloud-unreachable", 502,
        "cloud cannot be reached", "无法连接云端",
        "Check the address, the firewall (port 5001) and the cloud's /readyz.", retryable=True)
    CLOUD_TIMEOUT = ErrorRow(3002, "cloud-timeout", 504,
        "cloud did not answer in time", "云端响应超时",
        "The link or the cloud is slow; the edge's answer was used.", retryable=True)
    CLOUD_BAD_ANSWER = ErrorRow(3003, "cloud-bad-answer", 502,
        "cloud's answer is not usable", "云端响应无效",
        "What answers there is not an Emberlink cloud, or another version; open its /version.")
    CLOUD_OVERLOADED = ErrorRow(3004, "cloud-overloaded", 503,
        "cloud queue is full", "云端队列已满",
        "Wait as long as Retry-After says, or add a worker.", retryable=True)
    DEADLINE_MISSED = ErrorRow(3005, "deadline-missed", 504,
        "deadline cannot be met", "无法在截止时间前完成",
        "Allow more time in X-Request-Deadline-Ms, or send fewer frames.", retryable=True)
    CLOUD_REFUSED = ErrorRow(3006, "cloud-refused", 502,
        "cloud refused the request", "云端拒绝了请求",
        "The detail holds the cloud's own code; it is not tried again as it is.")
    ENGINE_UNAVAILABLE = ErrorRow(3007, "engine-unavailable", 503,
        "the queue before the workers cannot be reached", "无法连接任务队列",
        "Check redis.url, that Redis runs and that maxmemory-policy is noeviction.", retryable=True)
    JOB_GIVEN_UP = ErrorRow(3008, "job-given-up", 500,
        "the picture was given up", "图片已被放弃处理",
        "Worker after worker died over this picture; the log of the workers names it.")

    # Storage and evidence.
    STORE_UNAVAILABLE = ErrorRow(4001, "store-unavailable", 503,
        "state cannot be read or written", "状态存储不可读写",
        "Check the state folder: its disk, owner and mode.", retryable=True)
    STORE_SCHEMA = ErrorRow(4002, "store-schema", 500,
        "state was written by a newer version", "状态由更新的版本写入",
        "Install that version again, or start with another --state folder.")
    EVENT_UNKNOWN = ErrorRow(4003, "event-unknown", 404,
        "no event has this id", "没有该编号的事件",
        "GET /events lists what is kept; an event is gone after evidence.keep_days unless it is held.")
    FRAME_UNKNOWN = ErrorRow(4004, "frame-unknown", 404,
        "no frame of this event has this id", "该事件没有此编号的画面",
        "GET /events/<id> lists the event's frames; some may have made room when the disk was full.")
    EVIDENCE_DAMAGED = ErrorRow(4005, "evidence-damaged", 500,
        "evidence is not as it was written", "证据与写入时不一致",
        "`emberlink-edge evidence verify` names every file and row that was changed, lost or added.")
    BACKUP_DAMAGED = ErrorRow(4006, "backup-damaged", 500,
        "backup cannot be restored", "备份无法恢复",
        "The file is cut, changed or no backup; nothing was touched. Take an older one.")

    # Cameras.
    CAMERA_UNAVAILABLE = ErrorRow(5001, "camera-unavailable", 503,
        "camera cannot be read", "无法读取摄像头",
        "Check its power, address and password; it is tried again with growing pauses.", retryable=True)
    CAMERA_SOURCE_INVALID = ErrorRow(5002, "camera-source-invalid", 500,
        "camera source is not usable", "摄像头来源无效",
        "Use rtsp://, /dev/videoN, a video file, a folder of pictures, or sim:.")
    SELFTEST_RUNNING = ErrorRow(5003, "selftest-running", 409,
        "a test alarm is under way", "测试报警正在进行",
        "Wait for its result at GET /selftest; a test takes a minute at most.", retryable=True)

    # Our own mistakes.
    CONFIG_INVALID = ErrorRow(9001, "config-invalid", 500,
        "configuration is not valid", "配置无效",
        "`emberlink-edge check` and `emberlink-cloud check` list every problem at once.")
    INTERNAL = ErrorRow(9002, "internal", 500,
        "internal error", "内部错误",
        "Our mistake: the log holds the details under the same req_id.")
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
