/** Options of the server. */
import { availableParallelism } from "node:os";
import { edgePortOption, type commonOptions } from "#common/config.ts";
import {
  bindAddress,
  choice,
  flag,
  httpUrl,
  integer,
  port,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";
import { encodingOptions } from "./encoding-options.ts";
import { limitOptions } from "./limit-options.ts";
import { THREADS_MAX } from "./memory-layout.ts";
import { SIDE_MAX, SIDE_MIN } from "./renditions.ts";

export const serverOptions = {
  "pixelflut-port": port({ table: "server", description: "TCP port that players paint on.", default: 1234 }),
  "pixelflut-bind": bindAddress({
    table: "server",
    description: "Address of the players' port; `::` is every address of IPv6 and IPv4.",
    default: "::",
  }),
  "server-port": port({
    table: "server",
    description: "HTTP port of the feed, the picture of the canvas, figures and metrics.",
    default: 9001,
  }),
  "server-bind": bindAddress({
    table: "server",
    description: "Address of the server's HTTP port.",
    default: "127.0.0.1",
  }),
  width: integer({
    table: "server",
    description: "Width of the canvas, in pixels.",
    default: 1280,
    min: SIDE_MIN,
    max: SIDE_MAX,
  }),
  height: integer({
    table: "server",
    description: "Height of the canvas, in pixels.",
    default: 720,
    min: SIDE_MIN,
    max: SIDE_MAX,
  }),
  fps: integer({
    table: "server",
    description:
      "Frames per second of the stream. 24, 30, 48 and 60 have parts of the same length; after a change to another rate players on Apple's devices have to be started again.",
    default: 30,
    min: 1,
    max: 60,
  }),
  alpha: choice({
    table: "server",
    description:
      "What the alpha of PX rrggbbaa and PB does: `blend` mixes the colour into the pixel, `ignore` paints it opaque.",
    choices: ["blend", "ignore"],
    default: "blend",
  }),
  "oob-get": choice({
    table: "server",
    description: "Answer to a PX that asks for a pixel outside the canvas: none, or black.",
    choices: ["silent", "black"],
    default: "silent",
  }),
  strict: flag({
    table: "server",
    description:
      "Answers a line that is no Pixelflut command with ERR and closes the connection; off: ignores it.",
  }),
  "server-threads": integer({
    table: "server",
    description: "Threads that receive and paint pixels.",
    default: Math.min(availableParallelism(), THREADS_MAX),
    defaultText: "number of cores",
    min: 1,
    max: THREADS_MAX,
  }),
  receive: choice({
    table: "server",
    description:
      "How players' bytes are received: `epoll` is the fast way of Linux, `listen` works everywhere; `auto` is epoll where there is one.",
    choices: ["auto", "epoll", "listen"],
    default: "auto",
  }),
  "viewer-url": httpUrl({
    table: "server",
    description: "Where a browser that opens the players' port is sent.",
    default: "",
    defaultText: "the edge's port of the host that it asked for",
  }),
  "edge-port": edgePortOption,
  ...limitOptions,
  ...encodingOptions,
} satisfies OptionSet;

/** The server's values of its own and the common options. */
export type ServerConfig = ConfigOf<typeof commonOptions & typeof serverOptions>;
