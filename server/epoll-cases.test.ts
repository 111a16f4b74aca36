/** The case table through the receive path of Linux: every read is a segment, cut wherever one can be cut. */
import { afterAll, describe, expect, test } from "bun:test";
import { EpollRig } from "./epoll-rig.ts";
import { checkCase, loadPixelflutCases, type PixelflutSubject } from "./pixelflut-cases.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";
import { encodeHelp } from "./pixelflut-replies.ts";

const rigs: EpollRig[] = [];
afterAll(() => rigs.forEach((rig) => rig.close()));

function openSubject(
  size: { width: number; height: number },
  alpha: ProtocolOptions["alpha"],
): PixelflutSubject {
  const protocol: ProtocolOptions = { alpha, outsideGets: "silent", isStrict: false };
  const rig = new EpollRig({ ...size, protocol });
  rigs.push(rig);
  return {
    ...size,
    pixels: rig.framebuffer.pixels,
    help: new TextDecoder().decode(encodeHelp(rig.framebuffer, protocol)),
    connect() {
      const player = rig.connect();
      return {
        send: (bytes) => void player.send(bytes),
        takeReplies() {
          const replies = player.receive();
          player.close();
          return typeof replies === "string" ? replies : "";
        },
      };
    },
  };
}

describe.if(process.platform === "linux")(
  "EpollReceiver passes every case, whole and cut anywhere",
  async () => {
    for (const testCase of await loadPixelflutCases()) {
      if (!testCase.isComplete) continue;
      test.each(testCase.alphas)(`${testCase.name}, alpha %s`, (alpha) => {
        const runs = checkCase(openSubject(testCase, alpha), testCase);
        expect(runs).toBeGreaterThan(1);
        expect(rigs.at(-1)?.counted()).toMatchObject({
          accepted: runs,
          closed: runs,
          faults: 0,
          heldBytes: 0,
        });
      });
    }
  },
);
