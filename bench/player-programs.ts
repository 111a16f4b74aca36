/**
 * Programs that play HLS without a screen, for `bench players`: how each is started at the pace of the stream, and what
 * the lines that it prints tell.
 */
import type { ProgramPlayer } from "./play.ts";

/** What one line of a program's output tells: frames so far, frames more, frames left out, or what went wrong. */
export interface PlayerLine {
  readonly frames?: number;
  readonly newFrames?: number;
  readonly dropped?: number;
  readonly error?: string;
  readonly fatal?: string;
}

export interface PlayerProgram {
  readonly program: string;
  /** Debian's package. */
  readonly debianPackage: string;
  readonly args: (url: string) => readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** False where it does not tell how many frames it leaves out. */
  readonly tellsDropped: boolean;
  readonly read: (line: string) => PlayerLine;
}

/** Seconds between two reports of ffmpeg. */
const PROGRESS_SECONDS = "0.1";
/** What ffplay says of a machine without a screen, and of its window there. */
const OF_THE_SCREEN = /hardware accelerated renderer|XDG_RUNTIME_DIR/;

/** The programs by the names of the players. */
export const PLAYER_PROGRAMS: Readonly<Record<ProgramPlayer, PlayerProgram>> = {
  ffmpeg: {
    program: "ffmpeg",
    debianPackage: "ffmpeg",
    // It ends at the first oddity, and reads at the pace of the stream, as whoever watches does.
    args: (url) =>
      [
        "-hide_banner -nostdin -nostats -v level+warning -xerror -err_detect explode".split(" "),
        ["-progress", "pipe:1", "-stats_period", PROGRESS_SECONDS, "-re", "-i", url, "-f", "null", "-"],
      ].flat(),
    environment: {},
    tellsDropped: true,
    read: readFfmpeg,
  },
  ffplay: {
    program: "ffplay",
    debianPackage: "ffmpeg",
    args: (url) => [
      ..."-hide_banner -nostats -v level+info -an -x 640 -y 360".split(" "),
      "-vf",
      "showinfo=checksum=0",
      url,
    ],
    environment: { SDL_VIDEODRIVER: "dummy", SDL_AUDIODRIVER: "dummy" },
    tellsDropped: false,
    read: readFfplay,
  },
  gstreamer: {
    program: "gst-launch-1.0",
    debianPackage: "gstreamer1.0-tools, with -plugins-good, -plugins-bad and -libav",
    args: (url) => ["-v", "playbin3", `uri=${url}`, "video-sink=fakesink sync=true silent=false"],
    environment: {},
    tellsDropped: false,
    read: readGstreamer,
  },
};

/** A line of libav's log, where `level` is among its flags. */
function readLibavLog(line: string): PlayerLine {
  const [, level, text = ""] = /\[(warning|error|fatal|panic)\] (.*)$/.exec(line) ?? [];
  if (level === undefined) return {};
  return level === "fatal" || level === "panic" ? { fatal: text } : { error: text };
}

function readFfmpeg(line: string): PlayerLine {
  const [, name, value] = /^(frame|drop_frames)=(\d+)$/.exec(line) ?? [];
  if (name === "frame") return { frames: Number(value) };
  return name === undefined ? readLibavLog(line) : { dropped: Number(value) };
}

function readFfplay(line: string): PlayerLine {
  if (/^\[Parsed_showinfo_0 @ [^\]]+\] \[info\] n: *\d/.test(line)) return { newFrames: 1 };
  return OF_THE_SCREEN.test(line) ? {} : readLibavLog(line);
}

function readGstreamer(line: string): PlayerLine {
  if (/fakesink\d+: last-message = "?chain /.test(line)) return { newFrames: 1 };
  const [, kind, text] = /^(ERROR|WARNING): (.*)$/.exec(line) ?? [];
  if (kind !== undefined) return kind === "ERROR" ? { fatal: text ?? "" } : { error: text ?? "" };
  return /-CRITICAL \*\*|-WARNING \*\*/.test(line) ? { error: line } : {};
}
