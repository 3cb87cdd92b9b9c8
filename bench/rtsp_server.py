# mypy: ignore-errors
# The bindings exist in the system's Python only.
"""A real RTSP server: GStreamer's, playing H.264 files; run by the system's Python, which has its bindings.

    /usr/bin/python3 rtsp_server.py serve '{"mounts": {"/yard": {"file": "a.mp4", "fault": null}}}'
    /usr/bin/python3 rtsp_server.py encode '{"file": "a.mp4", "width": 640, "height": 360, "fps": 10}' < frames.bgr

`serve` prints the port in one line, and serves until its stdin is closed; with `user` and `password` it wants a login.
Each client of a mount gets a pipeline of its own that begins with the file's first frame, plays it in real time and
starts over at its end. Faults: `corrupt` spoils every third frame, `resize` plays `second` after each run of `file`,
`stall` falls silent after two seconds and keeps the connection, `end` hangs up after one run.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 # after the versions were chosen

_STALL_AFTER_NS = 2_000_000_000


def read_frames(path):
    """Take an H.264 file apart: caps, and for each frame its bytes and duration in ns."""
    pipeline = Gst.parse_launch(
        f"filesrc location={path} ! qtdemux ! h264parse config-interval=-1 "
        "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
    )
    sink = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    caps, frames = None, []
    while (sample := sink.emit("pull-sample")) is not None:
        caps = sample.get_caps()
        buffer = sample.get_buffer()
        frames.append((buffer.extract_dup(0, buffer.get_size()), buffer.duration))
    pipeline.set_state(Gst.State.NULL)
    return caps, frames


def spoil(data):
    """Overwrite the second half of a frame."""
    half = len(data) // 2
    return data[:half] + bytes((7 * i) & 0xFF for i in range(len(data) - half))


class Factory(GstRtspServer.RTSPMediaFactory):
    """Makes one pipeline a client."""

    def __init__(self, runs, fault):
        """Keep the files' frames in the order in which they are played."""
        super().__init__()
        self._runs, self._fault = runs, fault
        self.set_shared(False)

    def do_create_element(self, url):
        """Build the pipeline."""
        return Gst.parse_launch(
            "( appsrc name=src is-live=true format=time block=true max-bytes=2000000 "
            "! h264parse ! identity sync=true ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )

    def do_configure(self, media):
        """Feed it."""
        media.set_stop_on_disconnect(True)
        source = media.get_element().get_by_name_recurse_up("src")
        source.set_property("caps", self._runs[0][0])
        threading.Thread(target=self._feed, args=(source,), daemon=True).start()

    def _feed(self, source):
        at_ns, number = 0, 0
        while True:
            for _, frames in self._runs:
                for data, duration in frames:
                    number += 1
                    spoiled = self._fault == "corrupt" and number % 3 == 0
                    buffer = Gst.Buffer.new_wrapped(spoil(data) if spoiled else data)
                    buffer.pts = buffer.dts = at_ns
                    buffer.duration = duration
                    at_ns += duration
                    if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                        return
                    if self._fault == "stall" and at_ns > _STALL_AFTER_NS:
                        return
            if self._fault == "end":
                source.emit("end-of-stream")
                return


def encode(wanted):
    """Encode raw BGR frames from stdin: a key frame every two seconds, as cameras send them."""
    size = f"width={wanted['width']} height={wanted['height']} framerate={wanted['fps']}/1"
    pipeline = Gst.parse_launch(
        f"fdsrc fd=0 ! rawvideoparse format=bgr {size} ! videoconvert "
        f"! openh264enc gop-size={2 * wanted['fps']} bitrate=2000000 complexity=low "
        f"! h264parse ! mp4mux ! filesink location={wanted['file']}"
    )
    pipeline.set_state(Gst.State.PLAYING)
    ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, ends)
    pipeline.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        sys.exit(str(message.parse_error()))


def serve(wanted):
    """Serve until stdin is closed."""
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    if wanted.get("user"):
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        basic = GstRtspServer.RTSPAuth.make_basic(wanted["user"], wanted["password"])
        auth.add_basic(basic, token)
        server.set_auth(auth)
    read = {}
    for path, mount in wanted["mounts"].items():
        files = [mount["file"], *([mount["second"]] if mount.get("fault") == "resize" else [])]
        for file in files:
            read[file] = read.get(file) or read_frames(file)
        factory = Factory([read[file] for file in files], mount.get("fault"))
        if wanted.get("user"):
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    Gst.init(None)
    {"encode": encode, "serve": serve}[sys.argv[1]](json.loads(sys.argv[2]))
