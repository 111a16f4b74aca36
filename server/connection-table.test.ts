/** Who owns a connection, with a second thread where it matters. */
import { describe, expect, test } from "bun:test";
import { ConnectionTable } from "./connection-table.ts";
import { createFramebuffer, shareFramebuffer } from "./framebuffer.ts";
import { STATE_BYTES } from "./kernel/layout.ts";
import { OWNED_BY, OWNER_ARMED, OWNER_NONE, OWNER_QUEUE } from "./receiver-memory.ts";

function openTable() {
  const framebuffer = createFramebuffer({ width: 4, height: 4, threads: 2, connectionsMax: 3 });
  const table = new ConnectionTable(framebuffer, 0);
  const bytes = new Uint8Array(framebuffer.memory.buffer);
  const reset = (record: number): void => void bytes.fill(0, record, record + STATE_BYTES);
  return { framebuffer, table, other: new ConnectionTable(framebuffer, 1), reset };
}

describe("ConnectionTable", () => {
  test("take() gives every record once, and again after release() with another generation", () => {
    const { table, other, reset } = openTable();
    expect([table.take(5, reset), other.take(6, reset), table.take(7, reset)]).toEqual([0, 1, 2]);
    expect(other.take(8, reset)).toBe(-1);
    const generation = table.generationOf(1);
    other.release(1);
    expect(table.ownerOf(1)).toBe(OWNER_NONE);
    expect(table.take(9, reset)).toBe(1);
    expect(table.generationOf(1)).toBe(generation + 1);
    expect(table.ownerOf(1)).toBe(OWNED_BY);
  });

  test("claim() and seize() succeed once, and only while the connection is armed", () => {
    const { table, other, reset } = openTable();
    table.take(5, reset);
    expect([other.claim(0), other.seize(0)]).toEqual([false, false]);
    table.beginArming(0);
    // Not yet noted as armed, but its event may have come.
    expect([other.seize(0), other.claim(0), other.claim(0)]).toEqual([false, true, false]);
    table.endArming(0);
    expect(table.ownerOf(0)).toBe(OWNER_QUEUE);
    other.own(0);
    other.beginArming(0);
    other.endArming(0);
    expect(table.ownerOf(0)).toBe(OWNER_ARMED);
    expect([table.seize(0), other.claim(0)]).toEqual([true, false]);
    expect(table.ownerOf(0)).toBe(OWNED_BY);
  });

  test("freeLock() gives back the lock of a thread that died in take(), and the record that it had taken", () => {
    const { table, other, reset } = openTable();
    table.take(5, reset);
    table.take(6, reset);
    table.release(0);
    table.freeLock(1);
    const die = (): void => {
      throw new Error("on purpose");
    };
    for (let round = 0; round < 4; round += 1) {
      expect(() => other.take(7, die)).toThrow("on purpose");
      table.freeLock(1);
    }
    const taken = [table.take(8, reset), table.take(9, reset)];
    expect(taken.toSorted((one, two) => one - two)).toEqual([0, 2]);
    expect(table.take(10, reset)).toBe(-1);
  });

  test("claim() loses no event that comes while the thread that armed the connection notes it", async () => {
    const { framebuffer, table, reset } = openTable();
    const rounds = 20_000;
    const bell = new Int32Array(new SharedArrayBuffer(4));
    table.take(5, reset);
    table.giveToQueue(0);
    const source = `
      import { ConnectionTable } from ${JSON.stringify(new URL("./connection-table.ts", import.meta.url).pathname)};
      import { openFramebuffer } from ${JSON.stringify(new URL("./framebuffer.ts", import.meta.url).pathname)};
      self.onmessage = ({ data: { framebuffer, bell, rounds } }) => {
        const table = new ConnectionTable(openFramebuffer(framebuffer), 1);
        for (let round = 1; round <= rounds; round += 1) {
          table.own(0);
          table.beginArming(0);
          Atomics.store(bell, 0, round);
          table.endArming(0);
          while (Atomics.load(bell, 0) === round);
        }
      };`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
    worker.postMessage({ framebuffer: shareFramebuffer(framebuffer), bell, rounds }, []);
    let claimed = 0;
    for (let round = 1; round <= rounds; round += 1) {
      while (Atomics.load(bell, 0) !== round) if (round === 1) await Bun.sleep(0);
      if (table.claim(0)) claimed += 1;
      Atomics.store(bell, 0, -round);
    }
    worker.terminate();
    expect(claimed).toBe(rounds);
  });
});
