/** Options of the load scripts. They are flags only: a load tester's machine has no node whose settings could apply. */
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
const SECONDS_MAX = 86_400;
/** A process has at most about a million sockets; ports towards one address end at 64 thousand. */
const CLIENTS_MAX = 60_000;

const shared = {
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

const seed = integer({
  table: "top",
  description: "Seed of everything random: the same seed sends the same bytes.",
  default: 1,
  min: 0,
  max: 2 ** 31 - 1,
});

function seconds(description: string, defaultSeconds: number) {
  return decimal({ table: "top", description, default: defaultSeconds, min: 0.1, max: SECONDS_MAX });
}

/** Seconds over which clients join, evenly. */
const rampSeconds = decimal({
  table: "top",
  description: "Seconds over which the viewers join, evenly. They are on top of --seconds.",
  default: 1,
  min: 0,
  max: SECONDS_MAX,
});

const isInsecure = flag({
  table: "top",
  description: "Accept any TLS certificate.",
});

export const PIXEL_FORMATS = ["text", "text8", "pb"] as const;
export type PixelFormat = (typeof PIXEL_FORMATS)[number];
export const PIXEL_ORDERS = ["ordered", "shuffled"] as const;
export type PixelOrder = (typeof PIXEL_ORDERS)[number];
export const PIXEL_IMAGES = ["gradient", "noise"] as const;
export type PixelImage = (typeof PIXEL_IMAGES)[number];

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
    description: "PX lines with 6 or with 8 digits of colour, or binary PB commands.",
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
  threads: integer({
    table: "top",
    description: "Threads that send; each prepares its own copy of one canvas of commands.",
    default: 1,
    min: 1,
    max: 256,
  }),
  verify: flag({
    table: "top",
    description: "Afterwards read the canvas back with PX gets and count the pixels that differ.",
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

/** Options of `bench relay`. */
export const relayOptions = {
  url: httpUrl({
    table: "top",
    description: "Endless MPEG-TS stream to read.",
    default: "http://127.0.0.1:8081/live/canvas/stream.ts",
  }),
  viewers: integer({
    table: "top",
    description: "Viewers at once, each with a connection of its own.",
    default: 100,
    min: 1,
    max: CLIENTS_MAX,
  }),
  seconds: seconds("How long to read once all have joined.", 30),
  "ramp-seconds": rampSeconds,
  insecure: isInsecure,
  ...shared,
} satisfies OptionSet;
export type RelayConfig = ConfigOf<typeof relayOptions>;

/** Options of `bench latency`. */
export const latencyOptions = {
  page: httpUrl({
    table: "top",
    description: "Page with a <video> of the canvas, such as an edge's.",
    default: "http://127.0.0.1:8081/",
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
  chromium: text({
    table: "top",
    description: "Chromium or Chrome to drive.",
    valueName: "<path>",
    default: "",
    defaultText: "the first found in PATH",
    pattern: /^[^\0]+$/,
    allowed: "a path",
  }),
  seed,
  ...shared,
} satisfies OptionSet;
export type LatencyConfig = ConfigOf<typeof latencyOptions>;
