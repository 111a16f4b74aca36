/** Pausing and stopping a real thread that never yields. */
import { afterEach, describe, expect, test } from "bun:test";
import { createFramebuffer, shareFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { SafePoint, ThreadControl } from "./thread-control.ts";

const WAIT_MS_MAX = 4_000;

let worker: Worker | undefined;
afterEach(() => worker?.terminate());

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS_MAX;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain: ${what}`);
    await Bun.sleep(1);
  }
}

/** A thread that counts in the first pixel as long as it may, and says so in the second when it ends. */
function startCounting(framebuffer: Framebuffer): void {
  const source = `
    import { openFramebuffer } from ${JSON.stringify(new URL("./framebuffer.ts", import.meta.url).pathname)};
    import { SafePoint } from ${JSON.stringify(new URL("./thread-control.ts", import.meta.url).pathname)};
    self.onmessage = ({ data }) => {
      const framebuffer = openFramebuffer(data);
      const safePoint = new SafePoint(framebuffer, 0);
      let goesOn = safePoint.enter();
      while (goesOn) {
        Atomics.add(framebuffer.pixels, 0, 1);
        if (safePoint.isOrdered) goesOn = safePoint.obey();
      }
      safePoint.leave();
      Atomics.store(framebuffer.pixels, 1, 1);
    };`;
  worker = new Worker(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
  worker.postMessage(shareFramebuffer(framebuffer), []);
}

describe("ThreadControl", () => {
  test("pause() returns once the thread has stopped, resume() lets it go on, stop() ends it", async () => {
    const framebuffer = createFramebuffer({ width: 4, height: 4 });
    const control = new ThreadControl(framebuffer);
    const count = (): number => Atomics.load(framebuffer.pixels, 0);
    const start = count();
    startCounting(framebuffer);
    await until(() => count() !== start, "the thread counts");
    for (let round = 0; round < 100; round += 1) {
      control.pause();
      const paused = count();
      for (let look = 0; look < 1_000; look += 1) expect(count() === paused).toBe(true);
      control.resume();
      await until(() => count() !== paused, "the thread goes on");
    }
    control.pause();
    expect(control.isPaused).toBe(true);
    control.stop();
    await until(() => Atomics.load(framebuffer.pixels, 1) === 1, "the thread ends");
    // Once told to stop, nothing lets it run again.
    control.resume();
    expect(new SafePoint(framebuffer, 0).enter()).toBe(false);
  });

  test("pause() waits for nobody who is parked, gone or not yet there", () => {
    const framebuffer = createFramebuffer({ width: 4, height: 4, threads: 3 });
    const control = new ThreadControl(framebuffer);
    const parked = new SafePoint(framebuffer, 0);
    expect(parked.enter()).toBe(true);
    parked.leave();
    new SafePoint(framebuffer, 1).enter();
    control.forget(1);
    control.pause();
    expect(() => control.pause()).toThrow("a pause ends before the next begins");
    control.resume();
    expect(parked.enter()).toBe(true);
  });
});
