/** What only a real socket shows: that vanished players are noticed, and what an exception of ours costs. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { FakeClock, systemClock } from "#common/clock.ts";
import { Admission, DENIED_LINGER_MS, OPEN_ADMISSION, type AdmissionRules } from "./admission.ts";
import { parseRange } from "#common/address-prefix.ts";
import { CounterSlot, type CounterName } from "./counters.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { openListenReceiver } from "./listen-receiver.ts";
import type { ParserState, PixelflutParser } from "./pixelflut-parser.ts";
import { ReplyBuffer } from "./pixelflut-replies.ts";
import { PlayerShares } from "./player-shares.ts";
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

/** Answers nothing. */
class SilentParser implements PixelflutParser<ParserState> {
  readonly replies = new ReplyBuffer();

  open(): ParserState {
    return { phase: "open" };
  }

  parse(_: ParserState, bytes: Uint8Array): number {
    return bytes.length;
  }
}

/** Notes what is counted while the thread does not keep others from pausing it. */
class GuardedCounters extends CounterSlot {
  readonly unguarded: CounterName[] = [];
  readonly counted = new Set<CounterName>();
  depth = 0;

  override add(name: CounterName, amount: number): void {
    if (amount !== 0) this.counted.add(name);
    if (this.depth !== 1) this.unguarded.push(name);
    super.add(name, amount);
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

/** Everything counted and every place given or taken back: what the main thread puts right while it has others pause. */
describe("openListenReceiver() with a safe point", () => {
  const IDLE_MS = 60_000;

  function openGuarded(change: Partial<AdmissionRules>) {
    const framebuffer = createFramebuffer({ width: 2, height: 2 });
    const counters = new GuardedCounters(new Float64Array(32));
    const rules: AdmissionRules = { ...OPEN_ADMISSION, idleMs: IDLE_MS, ...change };
    const shares = new PlayerShares(framebuffer, 0, rules.limits);
    const clock = new FakeClock();
    receiver = openListenReceiver({
      hostname: "127.0.0.1",
      port: 0,
      parser: new SilentParser(),
      counters,
      clock,
      viewers: { url: "", port: 8081 },
      admission: new Admission(shares, rules),
      safePoint: {
        enter() {
          counters.depth += 1;
          return true;
        },
        leave: () => void (counters.depth -= 1),
      },
      onFault: (error) => {
        throw error;
      },
    });
    const { port } = receiver;
    const connect = () => Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    return { counters, clock, shares, connect };
  }

  test("enters it once for whatever it does, and leaves it", async () => {
    const { counters, clock, shares, connect } = openGuarded({
      limits: { ...OPEN_ADMISSION.limits, bytesPerSecondPerPrefix: 10_000 },
    });
    const first = await connect();
    await connect();
    first.write("x".repeat(70_000));
    await until(() => counters.read("pausedConnections") === 2);
    clock.advance(10_000);
    expect(counters.read("pausedConnections")).toBe(0);
    clock.advance(IDLE_MS + 1_000);
    await until(() => counters.read("idleClosed") === 2);
    // Who reads FIN closes.
    await until(() => shares.connections() === 0);
    const vanishing = await connect();
    await until(() => shares.connections() === 1);
    vanishing.terminate();
    await until(() => shares.connections() === 0);
    await connect();
    await until(() => shares.connections() === 1);
    receiver?.close();
    await until(() => shares.connections() === 0);
    expect([...counters.counted].toSorted()).toEqual([
      "accepted",
      "closed",
      "idleClosed",
      "pausedConnections",
      "receivedBytes",
      "sentBytes",
    ]);
    expect([counters.unguarded, counters.depth]).toEqual([[], 0]);
  });

  test("enters it for those it sends away", async () => {
    const range = parseRange("127.0.0.0/8");
    if (range === undefined) throw new Error("That is a range");
    const { counters, clock, shares, connect } = openGuarded({ proxies: [range] });
    const socket = await connect();
    socket.write("PX 1 1\n");
    await until(() => counters.read("proxyFailures") === 1);
    clock.advance(DENIED_LINGER_MS + 1_000);
    await until(() => shares.connections() === 0);
    socket.terminate();
    expect([counters.unguarded, counters.depth]).toEqual([[], 0]);
  });
});
