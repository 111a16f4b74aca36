/** Chains of hold blocks against a plain list of bytes. */
import { describe, expect, test } from "bun:test";
import { createRandomBelow } from "#common/random.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { HoldBlocks } from "./hold-blocks.ts";
import { HOLD_BLOCK_BYTES, openReceiverMemory, WORD_FREE_BLOCKS, WORD_HOLD_LOCK } from "./receiver-memory.ts";
import { SharedLock } from "./shared-lock.ts";

/** What a chain gets at once at most: two reads. */
const BYTES_MAX = 3 * HOLD_BLOCK_BYTES;

interface Rig {
  readonly framebuffer: Framebuffer;
  readonly hold: HoldBlocks;
  /** Chains' first words. */
  readonly chains: readonly number[];
  /** Where bytes are appended from. */
  readonly source: Uint8Array;
  readonly address: number;
  /** Takes all that lies side by side at a chain's front. */
  readonly takeFirst: (chain: number, length?: number) => Uint8Array;
}

function openRig(blocksMax?: number): Rig {
  const framebuffer = createFramebuffer({ width: 4, height: 4 });
  const { memory, map } = framebuffer;
  const address = map.threadAreas[0]?.readOffset ?? 0;
  const hold = new HoldBlocks(framebuffer, 0, blocksMax);
  const bytes = new Uint8Array(memory.buffer);
  return {
    framebuffer,
    hold,
    address,
    chains: [0, 4, 8].map((word) => map.connectionsOffset / 4 + word),
    source: bytes.subarray(address, address + BYTES_MAX),
    takeFirst(chain, length = hold.firstLengthOf(chain)) {
      const first = hold.firstAddressOf(chain);
      const taken = bytes.slice(first, first + length);
      hold.consume(chain, length);
      return taken;
    },
  };
}

describe("HoldBlocks", () => {
  test("gives back what was appended, in order, whatever the lengths", () => {
    const { hold, chains, source, address, takeFirst } = openRig();
    const random = createRandomBelow(5);
    const models = chains.map(() => Buffer.alloc(0));
    for (let step = 0; step < 400; step += 1) {
      const which = random(chains.length);
      const chain = chains[which] ?? 0;
      const model = models[which] ?? Buffer.alloc(0);
      if (random(3) > 0 && model.length < 10 * HOLD_BLOCK_BYTES) {
        const length = random(4) === 0 ? HOLD_BLOCK_BYTES * random(3) : random(BYTES_MAX);
        for (let at = 0; at < length; at += 97) source[at] = random(256);
        expect(hold.append(chain, address, length)).toBe(true);
        models[which] = Buffer.concat([model, source.slice(0, length)]);
      } else if (model.length > 0) {
        const taken = takeFirst(chain, 1 + random(hold.firstLengthOf(chain)));
        expect(Buffer.compare(model.subarray(0, taken.length), taken)).toBe(0);
        models[which] = model.subarray(taken.length);
      }
      expect(hold.lengthOf(chain)).toBe(models[which]?.length ?? 0);
    }
    for (const chain of chains) hold.clear(chain);
    expect(hold.held).toBe(0);
  });

  test("append() says when there are too few blocks, and leaves the chain as it was", () => {
    const { hold, chains, address } = openRig(4);
    const [first = 0, second = 0] = chains;
    expect(hold.append(first, address, 3 * HOLD_BLOCK_BYTES - 1)).toBe(true);
    expect(hold.append(second, address, 2 * HOLD_BLOCK_BYTES)).toBe(false);
    expect({ held: hold.held, length: hold.lengthOf(second) }).toEqual({ held: 3, length: 0 });
    expect(hold.append(first, address, 1)).toBe(true);
    expect(hold.append(first, address, HOLD_BLOCK_BYTES + 1)).toBe(false);
    expect({ held: hold.held, length: hold.lengthOf(first) }).toEqual({
      held: 3,
      length: 3 * HOLD_BLOCK_BYTES,
    });
    hold.clear(first);
    expect(hold.append(second, address, 2 * HOLD_BLOCK_BYTES)).toBe(true);
  });

  test("forgetThread() finds the free blocks again, under a lock that nobody gives back", () => {
    const { framebuffer, hold, chains, address, takeFirst } = openRig(8);
    const [kept = 0, lost = 0] = chains;
    expect(hold.append(kept, address, 2 * HOLD_BLOCK_BYTES)).toBe(true);
    expect(hold.append(lost, address, 3 * HOLD_BLOCK_BYTES)).toBe(true);
    const { words } = openReceiverMemory(framebuffer.memory.buffer, framebuffer.map.receiverOffset);
    new SharedLock(words, WORD_HOLD_LOCK, 1).lock();
    hold.forgetThread(1, [kept]);
    expect(hold.held).toBe(2);
    const [, , third = 0] = chains;
    for (let block = 0; block < 6; block += 1)
      expect(hold.append(third, address, HOLD_BLOCK_BYTES)).toBe(true);
    expect(hold.append(third, address, 1)).toBe(false);
    expect(takeFirst(kept).length + takeFirst(kept).length).toBe(2 * HOLD_BLOCK_BYTES);
  });
});

test("HoldBlocks.freeLock() gives blocks from no list that is half changed, and no more than there are", () => {
  const { framebuffer, hold, chains, address, takeFirst, source } = openRig(4);
  const [kept = 0, freed = 0, next = 0] = chains;
  source.fill(7, 0, 2 * HOLD_BLOCK_BYTES);
  expect(hold.append(kept, address, HOLD_BLOCK_BYTES)).toBe(true);
  expect(hold.append(freed, address, 2 * HOLD_BLOCK_BYTES)).toBe(true);
  hold.clear(freed);
  const { words } = openReceiverMemory(framebuffer.memory.buffer, framebuffer.map.receiverOffset);
  // Another thread dies in the middle: the list begins with a block in use.
  new SharedLock(words, WORD_HOLD_LOCK, 1).lock();
  words[WORD_FREE_BLOCKS] = 1;
  hold.freeLock(1);
  source.fill(8, 0, HOLD_BLOCK_BYTES);
  expect(hold.append(next, address, HOLD_BLOCK_BYTES)).toBe(true);
  expect(hold.append(freed, address, 1)).toBe(false);
  hold.forgetThread(1, chains);
  expect(hold.held).toBe(2);
  expect(hold.append(freed, address, 2 * HOLD_BLOCK_BYTES)).toBe(true);
  expect(takeFirst(kept)).toEqual(new Uint8Array(HOLD_BLOCK_BYTES).fill(7));
});
