/** What the main thread and the other threads do when a pixel thread dies, on real sockets. */
import { expect, test } from "bun:test";
import { silentLog, type Log } from "#common/log.ts";
import { openConnections, sumCounters } from "./counters.ts";
import { OPAQUE } from "./framebuffer.ts";
import { Client, openRig, until } from "./pixel-threads-rig.ts";
import { WORD_HOLD_LOCK, WORD_TABLE_LOCK } from "./receiver-memory.ts";

test("PixelThreads that listen replace a thread that dies, and forget its connections", async () => {
  // A thread that throws once, some moments after it listens: the counter remembers that it did.
  const source = `
    import { openFramebuffer } from ${moduleUrl("./framebuffer.ts")};
    import ${moduleUrl("./pixel-thread.ts")};
    self.addEventListener("message", ({ data }) => {
      if (data.type !== "start") return;
      const slot = openFramebuffer(data.framebuffer).counters[data.index];
      slot.add("heldBytes", 7);
      const timer = setInterval(() => {
        if (slot.read("faults") > 0) clearInterval(timer);
        else if (slot.read("gets") > 0) { slot.add("faults", 1); throw new Error("on purpose"); }
      }, 1);
    });`;
  const entry = new URL(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
  const { framebuffer, threads } = await openRig({ count: 1, entry, receive: "listen" });
  const client = await Client.open(threads.port);
  client.socket.write("PX 0 0\n");
  await until(() => threads.listening === 0, "the thread dies");
  expect(openConnections(framebuffer.counters)).toBe(0);
  expect(sumCounters(framebuffer.counters).heldBytes).toBe(0);
  await until(() => threads.listening === 1, "another takes its place");
  expect(threads.restarts).toBe(1);
  const again = await Client.open(threads.port);
  expect(await again.end("SIZE\n")).toBe("SIZE 640 480\n");
  client.socket.destroy();
  await threads.close();
});

test.if(process.platform === "linux")(
  "PixelThreads on epoll replace a thread that dies, and go on with the connections of all",
  async () => {
    // A thread that throws the first time that it looks for something to do after a get.
    const source = `
      import { CounterSlot } from ${moduleUrl("./counters.ts")};
      import { EpollSet } from ${moduleUrl("./epoll-set.ts")};
      import ${moduleUrl("./pixel-thread.ts")};
      const { add } = CounterSlot.prototype;
      const { wait } = EpollSet.prototype;
      let slot;
      CounterSlot.prototype.add = function (name, amount) {
        slot = this;
        add.call(this, name, amount);
      };
      EpollSet.prototype.wait = function (timeoutMs) {
        if (slot?.read("gets") > 0 && slot.read("faults") === 0) {
          slot.add("faults", 1);
          throw new Error("on purpose");
        }
        return wait.call(this, timeoutMs);
      };`;
    const entry = new URL(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
    const { framebuffer, threads, counted } = await openRig({ entry, receive: "epoll" });
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(threads.port)));
    for (const client of clients) client.socket.write("PX 0 0\n");
    await until(() => clients.every((client) => client.text !== ""), "all are served");
    await until(
      () => threads.restarts > 0 && threads.listening === 2,
      "a thread dies, another takes its place",
    );
    for (const client of clients) client.socket.write("SIZE\n");
    await until(
      () => clients.every((client) => client.text.endsWith("SIZE 640 480\n")),
      "all are served again",
    );
    expect(counted()).toMatchObject({ accepted: 20, closed: 0 });
    for (const client of clients) client.socket.destroy();
    await until(() => openConnections(framebuffer.counters) === 0, "all are closed");
    await threads.close();
  },
);

test.if(process.platform === "linux").each<[string, number, (greedy: Client, port: number) => void]>([
  ["the table's", WORD_TABLE_LOCK, (_, port) => void new Client(port, "127.0.0.1")],
  ["the hold blocks'", WORD_HOLD_LOCK, (greedy) => void greedy.socket.write("PX 0 0\n".repeat(5_000))],
])(
  "PixelThreads go on when a thread dies with %s lock while another waits for it",
  async (_, word, knock) => {
    // The first thread that looks for something to do after a get takes the lock, and dies once another waits for it.
    const source = `
    import { EpollSet } from ${moduleUrl("./epoll-set.ts")};
    import { openFramebuffer } from ${moduleUrl("./framebuffer.ts")};
    import { openReceiverMemory } from ${moduleUrl("./receiver-memory.ts")};
    import { SharedLock } from ${moduleUrl("./shared-lock.ts")};
    const CONTENDED = 1 << 30;
    const { wait } = EpollSet.prototype;
    self.addEventListener("message", async ({ data }) => {
      if (data.type !== "start") return;
      const { memory, map, counters, pixels } = openFramebuffer(data.framebuffer);
      const { words } = openReceiverMemory(memory.buffer, map.receiverOffset);
      EpollSet.prototype.wait = function (timeoutMs) {
        const hasServed = counters[data.index].read("gets") > 0;
        if (hasServed && Atomics.compareExchange(pixels, 0, ${OPAQUE}, 0) === ${OPAQUE}) {
          new SharedLock(words, ${word}, data.index).lock();
          while ((Atomics.load(words, ${word}) & CONTENDED) === 0);
          throw new Error("on purpose");
        }
        return wait.call(this, timeoutMs);
      };
      await import(${moduleUrl("./pixel-thread.ts")});
      self.dispatchEvent(new MessageEvent("message", { data }));
    }, { once: true });`;
    const entry = new URL(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (message) => void errors.push(message) };
    const { framebuffer, threads } = await openRig({ entry, receive: "epoll", log });
    const greedy = await Client.open(threads.port);
    greedy.socket.write("PX 0 0\n");
    await until(() => framebuffer.pixels[0] === 0, "a thread has the lock");
    greedy.socket.pause();
    await until(() => {
      knock(greedy, threads.port);
      return threads.restarts > 0 && threads.listening === 2;
    }, "the thread dies, another takes its place");
    const player = await Client.open(threads.port);
    expect(await player.end("SIZE\n")).toBe("SIZE 640 480\n");
    expect(errors).toEqual(["A pixel thread failed", "A pixel thread ended: starting another"]);
    await threads.close();
  },
);

function moduleUrl(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).pathname);
}
