/** Browsers and load balancers on the receive path of Linux: what is known of them lies in their records. */
import { afterEach, describe, expect, test } from "bun:test";
import { OPEN_ADMISSION } from "./admission.ts";
import { EpollRig } from "./epoll-rig.ts";
import { EAGAIN } from "./linux-constants.ts";
import { openReceiverMemory, WORD_BLOCKS_HELD } from "./receiver-memory.ts";

const OPENINGS = 10;
/** `http-redirect.ts` answers a header of this many bytes before its end, behind `GET `. */
const HEADER_BYTES_MAX = 65_536;
const PROXY = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);

let rig: EpollRig | undefined;
afterEach(() => rig?.close());

describe.if(process.platform === "linux")("EpollReceiver", () => {
  test("keeps no hold block for browsers and load balancers that do not finish", () => {
    const proxies = [{ address: PROXY, bits: 128 }];
    const own = new EpollRig({ holdBlocksMax: 2, admission: { ...OPEN_ADMISSION, proxies } });
    rig = own;
    const browsers = Array.from({ length: OPENINGS }, () => own.connect());
    for (const browser of browsers) browser.send(`GET / HTTP/1.1\r\nX: ${"y".repeat(20_000)}\r\nHost: a\r\n`);
    const balancers = Array.from({ length: OPENINGS }, () => own.connect(PROXY));
    for (const balancer of balancers) balancer.send("PROXY TCP4 192.0.2.7");
    const { memory, map } = own.framebuffer;
    expect(openReceiverMemory(memory.buffer, map.receiverOffset).words[WORD_BLOCKS_HELD]).toBe(0);
    expect(own.counted()).toMatchObject({ closed: 0, droppedStalled: 0, heldBytes: 0 });
    for (const browser of browsers) {
      browser.send("\r\n");
      expect(browser.receive()).toContain("Location: http://a:8081/\r\n");
    }
    for (const balancer of balancers) {
      balancer.send(" 10.0.0.1 1000 1234\r\nSIZE\n");
      expect(balancer.receive()).toBe("SIZE 64 48\n");
    }
  });

  test("goes on with a request in any thread, whatever the record held before", () => {
    const own = new EpollRig({ threads: 3, connectionsMax: 1 });
    rig = own;
    const player = own.connect();
    player.send("\xff".repeat(1_000));
    player.close();
    const browser = own.connect();
    const request = "GET / HTTP/1.1\r\nX: y\r\nHost: a:1234\r\n\r\n";
    for (let at = 0; at < request.length; at += 1) {
      expect(browser.receive()).toBe(-EAGAIN);
      browser.put(request.slice(at, at + 1));
      own.receivers[at % 3]?.drain();
    }
    expect(browser.receive()).toContain("Location: http://a:8081/\r\n");
    expect(own.counted()).toMatchObject({ redirects: 1, heldBytes: 0 });
  });

  test("answers a header without an end at the limit of both receive paths", () => {
    const own = new EpollRig();
    rig = own;
    const browser = own.connect();
    const begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    browser.send(begin + "y".repeat(HEADER_BYTES_MAX + "GET ".length - begin.length - 1));
    expect(browser.receive()).toBe(-EAGAIN);
    browser.send("y");
    expect(browser.receive()).toContain("Location: http://a:8081/\r\n");
    expect(browser.receive()).toBe(0);
  });
});
