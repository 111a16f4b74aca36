/** What only a real socket shows: that vanished players are noticed, and what an exception of ours costs. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { systemClock } from "#common/clock.ts";
import { CounterSlot } from "./counters.ts";
import { openListenReceiver } from "./listen-receiver.ts";
import type { ParserState, PixelflutParser } from "./pixelflut-parser.ts";
import { ReplyBuffer } from "./pixelflut-replies.ts";
import type { Receiver } from "./receiver.ts";

/** Answers "half" and then throws an error with the code that it was sent. */
class ThrowingParser implements PixelflutParser<ParserState> {
  readonly replies = new ReplyBuffer();

  open(): ParserState {
    return { phase: "open" };
  }

  parse(_: ParserState, bytes: Uint8Array): number {
    this.replies.append(new TextEncoder().encode("half"));
    const code = new TextDecoder().decode(bytes);
    throw Object.assign(new Error("on purpose"), code === "none" ? {} : { code });
  }
}

let receiver: Receiver | undefined;
afterEach(() => receiver?.close());

function open() {
  const counters = new CounterSlot(new Float64Array(32));
  const parser = new ThrowingParser();
  const faults: string[] = [];
  receiver = openListenReceiver({
    hostname: "127.0.0.1",
    port: 0,
    parser,
    counters,
    clock: systemClock,
    viewers: { url: "", port: 8081 },
    onFault: (error) => faults.push(error.message),
  });
  return { port: receiver.port, parser, counters, faults };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("openListenReceiver()", () => {
  test.each([
    ["none", 1],
    ["ERR_INVALID_ARG_TYPE", 1],
    ["bad-frame", 1],
    ["ECONNRESET", 0],
  ])("counts an error with the code %s %d times and forgets half a reply", async (code, faultCount) => {
    const { port, parser, counters, faults } = open();
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.write(code);
    await until(() => counters.read("receivedBytes") === code.length && parser.replies.length === 0);
    expect(counters.read("faults")).toBe(faultCount);
    expect(faults.length).toBe(faultCount);
    if (faultCount > 0) await until(() => counters.read("closed") === 1);
    socket.terminate();
    await until(() => counters.read("closed") === 1);
  });

  test.if(process.platform === "linux")(
    "has the kernel ask silent players whether they are there",
    async () => {
      const { port, counters } = open();
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      await until(() => counters.read("accepted") === 1);
      // proc(5), net/tcp: local address and port in hexadecimal; timer 2 is that of keep-alive.
      const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
      const rows = readFileSync("/proc/net/tcp", "utf8")
        .split("\n")
        .map((row) => row.trim().split(/\s+/));
      const established = rows.filter((row) => row[1]?.endsWith(local) === true && row[3] === "01");
      expect(established.map((row) => row[5]?.split(":")[0])).toEqual(["02"]);
      socket.terminate();
    },
  );
});
