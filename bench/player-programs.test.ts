/** What programs print while they play. */
import { describe, expect, test } from "bun:test";
import { PLAYER_PROGRAMS } from "./player-programs.ts";

describe.each([
  ["ffmpeg", "frame=1234", { frames: 1234 }],
  ["ffmpeg", "drop_frames=2", { dropped: 2 }],
  ["ffmpeg", "fps=30.00", {}],
  ["ffmpeg", "[hls @ 0x55d0] [warning] skipping 2 segments ahead", { error: "skipping 2 segments ahead" }],
  ["ffmpeg", "[h264 @ 0x55d0] [error] no frame!", { error: "no frame!" }],
  ["ffmpeg", "[fatal] Conversion failed", { fatal: "Conversion failed" }],
  [
    "ffplay",
    "[Parsed_showinfo_0 @ 0x7f10] [info] n:  12 pts: 345600 pts_time:3.84 fmt:yuv420p",
    { newFrames: 1 },
  ],
  ["ffplay", "[Parsed_showinfo_0 @ 0x7f10] [info] color_range:tv color_space:bt709", {}],
  ["ffplay", "[warning] Failed to initialize a hardware accelerated renderer: no", {}],
  ["ffplay", "[https @ 0x7f10] [error] HTTP error 404 Not Found", { error: "HTTP error 404 Not Found" }],
  [
    "gstreamer",
    "/GstPlayBin3:playbin3-0/GstPlaySink:playsink/GstBin:vbin/GstFakeSink:fakesink0: last-message = chain   ******* (fakesink0:sink) (1382400 bytes, dts: none)",
    { newFrames: 1 },
  ],
  ["gstreamer", "/GstFakeSink:fakesink0: last-message = preroll   ******* (fakesink0:sink)", {}],
  [
    "gstreamer",
    "ERROR: from element /GstPlayBin3:playbin3-0: gone",
    { fatal: "from element /GstPlayBin3:playbin3-0: gone" },
  ],
  [
    "gstreamer",
    "WARNING: from element /GstPlayBin3:playbin3-0: late",
    { error: "from element /GstPlayBin3:playbin3-0: late" },
  ],
] as const)("%s", (player, line, told) => {
  test(`says ${line}`, () => {
    expect(PLAYER_PROGRAMS[player].read(line)).toEqual(told);
  });
});
