/** The case table through the receive path that works everywhere: every read is a segment, cut wherever one can be cut. */
import { describe, expect, test } from "bun:test";
import { Connection, type ConnectionContext, type Peer } from "./connection.ts";
import { sumCounters } from "./counters.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { loadKernel } from "./kernel.ts";
import { KernelParser, type KernelState } from "./kernel-parser.ts";
import { checkCase, loadPixelflutCases, type PixelflutSubject } from "./pixelflut-cases.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";
import { encodeHelp } from "./pixelflut-replies.ts";

const module = await loadKernel();

/** A socket that takes everything. */
class TakingPeer implements Peer {
  readonly localAddress = "::1";
  readonly #decoder = new TextDecoder("latin1");
  text = "";

  write(bytes: Uint8Array): number {
    this.text += this.#decoder.decode(bytes);
    return bytes.length;
  }
  pause(): void {}
  resume(): void {}
  finish(): void {}
  close(): void {}
  terminate(): void {}
}

function openSubject(
  size: { readonly width: number; readonly height: number },
  alpha: ProtocolOptions["alpha"],
): PixelflutSubject & { readonly framebuffer: Framebuffer } {
  const protocol: ProtocolOptions = { alpha, outsideGets: "silent", isStrict: false };
  const framebuffer = createFramebuffer(size);
  const [counters] = framebuffer.counters;
  if (counters === undefined) throw new Error("A framebuffer has counters");
  const context: ConnectionContext<KernelState> = {
    parser: new KernelParser({ module, framebuffer, thread: 0, protocol }),
    counters,
    monotonicMs: () => 0,
    viewers: { url: "", port: 8081 },
    held: { bytes: 0 },
    watched: new Set(),
  };
  return {
    ...size,
    framebuffer,
    pixels: framebuffer.pixels,
    help: new TextDecoder().decode(encodeHelp(framebuffer, protocol)),
    connect() {
      const peer = new TakingPeer();
      const connection = new Connection(context, peer);
      return {
        send: (bytes) => connection.receive(bytes),
        takeReplies() {
          connection.finish();
          connection.close();
          return peer.text;
        },
      };
    },
  };
}

describe("Connection passes every case, whole and cut anywhere", async () => {
  for (const testCase of await loadPixelflutCases()) {
    if (!testCase.isComplete) continue;
    test.each(testCase.alphas)(`${testCase.name}, alpha %s`, (alpha) => {
      const subject = openSubject(testCase, alpha);
      const runs = checkCase(subject, testCase);
      expect(runs).toBeGreaterThan(1);
      expect(sumCounters(subject.framebuffer.counters)).toMatchObject({
        accepted: runs,
        closed: runs,
        faults: 0,
        heldBytes: 0,
      });
    });
  }
});
