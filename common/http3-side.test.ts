/** HTTP/3 and certificates that come one upon the other, with sockets that only say whether they are open. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { createSelfSigned, FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { Http3Side } from "#common/http3-side.ts";
import { silentLog } from "#common/log.ts";
import type { Tls } from "#common/tls.ts";

test("Http3Side has one socket at a time, with the newest certificate, when one more comes while the old one ends", async () => {
  const tls = new FakeTlsSource();
  const ended = Promise.withResolvers<void>();
  const open = new Map<object, Tls>();
  const serve = (shown: Tls): Bun.Server<undefined> => {
    const server = {
      port: 443,
      pendingRequests: 0,
      async stop() {
        await ended.promise;
        open.delete(server);
      },
    };
    open.set(server, shown);
    return server as unknown as Bun.Server<undefined>;
  };
  const side = new Http3Side({ serve, tls, clock: new FakeClock(), log: silentLog });
  const newest = createSelfSigned("localhost");
  tls.replace(createSelfSigned("localhost"));
  tls.replace(newest);
  expect(side.altSvc).toBeUndefined();
  ended.resolve();
  while (side.altSvc === undefined) await Bun.sleep(1);
  expect([...open.values()]).toEqual([newest]);
  await side.stop();
  expect(open.size).toBe(0);
});
