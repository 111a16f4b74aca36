/** Options of the load scripts. They are flags only: a load tester's machine has no node whose settings could apply. */
import { availableParallelism } from "node:os";
import {
  choice,
  decimal,
  flag,
  httpUrl,
  integer,
  port,
  text,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";

/** Longest run that can be asked for, in seconds: a day. */
export const SECONDS_MAX = 86_400;
/** A process has at most about a million sockets; ports towards one address end at 64 thousand. */
export const CLIENTS_MAX = 60_000;
/** Threads of a flood at most. */
const FLOOD_THREADS_MAX = 256;

/** Options of every load script. */
export const shared = {
  json: text({
    table: "top",
    description: "Write the result as JSON: figures with units, parameters, versions, machine and date.",
    valueName: "<file>",
    default: "",
    pattern: /^[^\0]+$/,
    allowed: "a path",
  }),
} satisfies OptionSet;

const pixelflutTarget = {
  host: text({
    table: "top",
    description: "Pixelflut server to send to.",
    valueName: "<host>",
    default: "127.0.0.1",
    pattern: /^[0-9a-zA-Z.:_-]{1,255}$/,
    allowed: "an IP address or a host name",
  }),
  port: port({ table: "top", description: "Its Pixelflut port.", default: 1234 }),
} satisfies OptionSet;

/** `--seed` of what is random. */
export const seed = integer({
  table: "top",
  description: "Seed of everything random: the same seed sends the same bytes.",
  default: 1,
  min: 0,
  max: 2 ** 31 - 1,
});

/** `--seconds` of a run. */
export function seconds(description: string, defaultSeconds: number) {
  return decimal({ table: "top", description, default: defaultSeconds, min: 0.1, max: SECONDS_MAX });
}

/** `--chromium` of what is measured in a browser. */
export const chromium = text({
  table: "top",
  description: "Chromium or Chrome to drive.",
  valueName: "<path>",
  default: "",
  defaultText: "the first found in PATH",
  pattern: /^[^\0]+$/,
  allowed: "a path",
});

/** Seconds over which clients join, evenly. */
export const rampSeconds = decimal({
  table: "top",
  description: "Seconds over which the viewers join, evenly. They are on top of --seconds.",
  default: 1,
  min: 0,
  max: SECONDS_MAX,
});

export const isInsecure = flag({
  table: "top",
  description: "Accept any TLS certificate.",
});

/** Kinds of commands that a flood sends; each says what it is in the description of `--format`. */
export const PIXEL_FORMATS = [
  "text",
  "text8",
  "alpha",
  "gray",
  "pb",
  "multi",
  "offset",
  "get",
  "mixed",
] as const;
export type PixelFormat = (typeof PIXEL_FORMATS)[number];
export const PIXEL_ORDERS = ["ordered", "shuffled"] as const;
export type PixelOrder = (typeof PIXEL_ORDERS)[number];
export const PIXEL_IMAGES = ["gradient", "noise"] as const;
export type PixelImage = (typeof PIXEL_IMAGES)[number];

/** What moves a flood's bytes: the C library's calls, or Bun's own sockets. */
export const SOCKET_KINDS = ["direct", "bun"] as const;
export type SocketKind = (typeof SOCKET_KINDS)[number];

/** `--sockets` of a flood. */
export const sockets = choice({
  table: "top",
  description:
    "`direct` calls Linux's C library, which costs what a client in C costs; elsewhere, and with `bun`, Bun's sockets send at about twice the cost.",
  choices: SOCKET_KINDS,
  default: "direct",
});

/** `--threads` of a flood. */
export const threads = integer({
  table: "top",
  description: "Threads that send, at most one for each connection.",
  default: Math.min(availableParallelism(), FLOOD_THREADS_MAX),
  defaultText: "number of cores",
  min: 1,
  max: FLOOD_THREADS_MAX,
});

/** Options of `bench pixels`. */
export const pixelsOptions = {
  ...pixelflutTarget,
  connections: integer({
    table: "top",
    description: "TCP connections, each sending as fast as the server takes.",
    default: 1,
    min: 1,
    max: CLIENTS_MAX,
  }),
  seconds: seconds("How long to send.", 10),
  order: choice({
    table: "top",
    description: "Pixels row by row, or in a random order that is the same for one seed.",
    choices: PIXEL_ORDERS,
    default: "ordered",
  }),
  format: choice({
    table: "top",
    description:
      "PX lines with 6 digits of colour, with 8 (alpha ff), with 8 and a random `alpha`, or with 2 (`gray`); PB; PXMULTI, a row each (`multi`); PX relative to an OFFSET for every 64 x 64 pixels; gets; or eight kinds of clients `mixed`, with 1 % gets and 1 % garbage.",
    choices: PIXEL_FORMATS,
    default: "text",
  }),
  image: choice({
    table: "top",
    description: "What is painted: a smooth gradient or random noise.",
    choices: PIXEL_IMAGES,
    default: "gradient",
  }),
  seed,
  pixels: integer({
    table: "top",
    description: "Pixels painted before they are painted again, the first so many of the order; 0: all.",
    default: 0,
    min: 0,
    max: 40_000_000,
  }),
  threads,
  sockets,
  verify: flag({
    table: "top",
    description:
      "Afterwards read the canvas back with PX gets and count the pixels that differ. Colours with alpha are expected blended, so the canvas is read before as well.",
  }),
  ...shared,
} satisfies OptionSet;
export type PixelsConfig = ConfigOf<typeof pixelsOptions>;

export const VIEWER_MODES = ["llhls", "hls", "mixed"] as const;
export type ViewerMode = (typeof VIEWER_MODES)[number];

/** Options of `bench viewers`. */
export const viewersOptions = {
  url: httpUrl({
    table: "top",
    description:
      "Multivariant or media playlist to play. An edge's plays from that edge; an origin's multivariant playlist hands each player to an edge.",
    default: "http://127.0.0.1:8081/live/canvas/index.m3u8",
  }),
  viewers: integer({
    table: "top",
    description: "Players at once, each with connections of its own.",
    default: 100,
    min: 1,
    max: CLIENTS_MAX,
  }),
  seconds: seconds("How long to play once all have joined.", 30),
  mode: choice({
    table: "top",
    description:
      "Low-latency players (blocking reloads, parts, preload hints), plain HLS players (whole segments), or one of each in turn.",
    choices: VIEWER_MODES,
    default: "llhls",
  }),
  "ramp-seconds": rampSeconds,
  "ignore-hints": flag({
    table: "top",
    description: "Request parts only once they are listed, not ahead by their preload hint.",
  }),
  insecure: isInsecure,
  ...shared,
} satisfies OptionSet;
export type ViewersConfig = ConfigOf<typeof viewersOptions>;

/** Options of `bench check`. */
export const checkOptions = {
  url: httpUrl({
    table: "top",
    description: "Multivariant playlist whose media playlists are checked, or one media playlist.",
    default: "http://127.0.0.1:8081/live/canvas/index.m3u8",
  }),
  seconds: seconds("How long to follow the playlists once all else is checked.", 30),
  insecure: isInsecure,
  ...shared,
} satisfies OptionSet;
export type CheckConfig = ConfigOf<typeof checkOptions>;

/** Options of `bench held`. */
export const heldOptions = {
  url: httpUrl({
    table: "top",
    description:
      "Low-latency playlist whose next part is waited for: a media playlist, or a multivariant one, of which the first variant is taken. Plain HTTP.",
    default: "http://127.0.0.1:8081/live/canvas/index.m3u8",
  }),
  waiters: integer({
    table: "top",
    description: "Players that wait at once, each on a connection of its own.",
    default: 1_000,
    min: 1,
    max: CLIENTS_MAX,
  }),
  parts: flag({
    table: "top",
    description: "Each player also fetches every part, as soon as it is listed.",
  }),
  rounds: integer({
    table: "top",
    description: "Parts to measure once all have joined.",
    default: 50,
    min: 1,
    max: 1_000_000,
  }),
  feed: httpUrl({
    table: "top",
    description:
      "Feed that the origin reads, on this machine: a part counts as published when its last frame has come from there. Without it, when the first player has it.",
    default: "",
    defaultText: "none",
  }),
  pid: integer({
    table: "top",
    description:
      "Process whose memory and processor time are told, on this machine (Linux), as it is before the first player joins and while all wait. 0: none.",
    default: 0,
    min: 0,
    max: 4_194_304,
  }),
  ...shared,
} satisfies OptionSet;
export type HeldConfig = ConfigOf<typeof heldOptions>;

/** Options of `bench soak`. */
export const soakOptions = {
  viewers: integer({
    table: "top",
    description: "Low-latency players at once, each with connections of its own.",
    default: 1_000,
    min: 1,
    max: CLIENTS_MAX,
  }),
  seconds: seconds("How long to soak.", 3_600),
  "outage-seconds": decimal({
    table: "top",
    description:
      "The server is killed, ended or stopped about this often, for up to ten seconds; 0 leaves it alone.",
    default: 180,
    min: 0,
    max: SECONDS_MAX,
  }),
  width: integer({ table: "top", description: "Width of the canvas.", default: 1280, min: 32, max: 4096 }),
  height: integer({ table: "top", description: "Height of the canvas.", default: 720, min: 32, max: 4096 }),
  seed,
  ...shared,
} satisfies OptionSet;
export type SoakConfig = ConfigOf<typeof soakOptions>;

/** Who plays in `bench latency`. */
export const LATENCY_PLAYERS = ["page", "stock", "plain"] as const;
export type LatencyPlayer = (typeof LATENCY_PLAYERS)[number];

/** Options of `bench latency`. */
export const latencyOptions = {
  page: httpUrl({
    table: "top",
    description: "Page with a <video> of the canvas, such as an edge's; of other players the edge itself.",
    default: "http://127.0.0.1:8081/",
  }),
  player: choice({
    table: "top",
    description:
      "The `page` itself, hls.js as it comes (`stock`) on the Low-Latency playlist of the edge, or hls.js without low latency (`plain`) on the one of MPEG-TS segments.",
    choices: LATENCY_PLAYERS,
    default: "page",
  }),
  ...pixelflutTarget,
  joins: integer({
    table: "top",
    description: "Times the page is loaded anew.",
    default: 1,
    min: 1,
    max: 1000,
  }),
  flips: integer({
    table: "top",
    description: "Changes of colour measured in each load.",
    default: 40,
    min: 1,
    max: 100_000,
  }),
  x: integer({
    table: "top",
    description: "Left edge of the painted block.",
    default: 16,
    min: 0,
    max: 65_535,
  }),
  y: integer({
    table: "top",
    description: "Top edge of the painted block.",
    default: 16,
    min: 0,
    max: 65_535,
  }),
  block: integer({
    table: "top",
    description: "Side of the painted block in pixels of the canvas.",
    default: 64,
    min: 8,
    max: 1024,
  }),
  "settle-seconds": decimal({
    table: "top",
    description: "How long each load plays before its first flip.",
    default: 3,
    min: 0,
    max: 600,
  }),
  chromium,
  seed,
  ...shared,
} satisfies OptionSet;
export type LatencyConfig = ConfigOf<typeof latencyOptions>;
