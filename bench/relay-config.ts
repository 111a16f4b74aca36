/** Options of `bench relay`. */
import { decimal, httpUrl, integer, port, type ConfigOf, type OptionSet } from "#common/options.ts";
import { CLIENTS_MAX, isInsecure, rampSeconds, seconds, shared } from "./config.ts";

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
  checked: integer({
    table: "top",
    description:
      "Viewers whose packets are checked; of the others bytes are counted alone, which costs little (Linux, plain HTTP).",
    default: CLIENTS_MAX,
    defaultText: "all",
    min: 1,
    max: CLIENTS_MAX,
  }),
  seconds: seconds("How long to read once all have joined.", 30),
  "ramp-seconds": rampSeconds,
  "source-port": port({
    table: "top",
    description:
      "Serve a stream here, on 127.0.0.1 under every path that ends in .ts, for the relay to have as its upstream. 0: none.",
    default: 0,
  }),
  "source-mbit": decimal({
    table: "top",
    description: "Its rate, in Mbit/s.",
    default: 6,
    min: 0.2,
    max: 1_000,
  }),
  pid: integer({
    table: "top",
    description: "Process whose memory and processor time are told, on this machine (Linux). 0: none.",
    default: 0,
    min: 0,
    max: 4_194_304,
  }),
  insecure: isInsecure,
  ...shared,
} satisfies OptionSet;
export type RelayConfig = ConfigOf<typeof relayOptions>;
