/** Certificates that change while a node runs, in files of the test's own, on a clock moved by hand. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "#common/clock.ts";
import { createSelfSigned, type SelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { silentLog, type Log } from "#common/log.ts";
import { createRegistry } from "#common/metrics.ts";
import { TlsFiles } from "#common/tls-files.ts";
import { declareTlsMetrics } from "#common/tls-metrics.ts";

const LOOK_MS = 5_000;
const folder = mkdtempSync(join(tmpdir(), "spillway-tls-files-"));
afterAll(() => rmSync(folder, { recursive: true }));
const paths = { tlsCert: join(folder, "cert.pem"), tlsKey: join(folder, "key.pem") };

const first = createSelfSigned("localhost");
let clock: FakeClock;
let warnings: string[];
let adopted: SelfSigned[];

beforeEach(() => {
  clock = new FakeClock();
  warnings = [];
  adopted = [];
  write(first);
});

function write({ cert, key }: SelfSigned): void {
  for (const path of Object.values(paths)) rmSync(path, { force: true });
  writeFileSync(paths.tlsCert, cert);
  writeFileSync(paths.tlsKey, key);
}

function open(): TlsFiles {
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) };
  const files = new TlsFiles({ paths, clock, log });
  files.onChange((tls) => void adopted.push(tls));
  files.watch();
  return files;
}

describe("TlsFiles", () => {
  test("takes what has stayed the same for two looks, and only when it is another", () => {
    using files = open();
    clock.advance(10 * LOOK_MS);
    expect([files.current, adopted]).toEqual([first, []]);
    const second = createSelfSigned("localhost");
    write(second);
    clock.advance(LOOK_MS);
    expect(adopted).toEqual([]);
    clock.advance(LOOK_MS);
    expect([files.current, adopted]).toEqual([second, [second]]);
    clock.advance(10 * LOOK_MS);
    expect(adopted).toHaveLength(1);
  });

  test("follows links that are swapped, as programs that renew certificates do", () => {
    const second = createSelfSigned("localhost");
    for (const [name, { cert, key }] of Object.entries({ one: first, two: second })) {
      writeFileSync(join(folder, `${name}-cert.pem`), cert);
      writeFileSync(join(folder, `${name}-key.pem`), key);
    }
    const link = (to: string): void => {
      for (const what of ["cert", "key"]) {
        symlinkSync(`${to}-${what}.pem`, join(folder, "next"));
        renameSync(join(folder, "next"), join(folder, `${what}.pem`));
      }
    };
    link("one");
    using files = open();
    link("two");
    clock.advance(2 * LOOK_MS);
    expect([files.current, adopted.length]).toEqual([second, 1]);
  });

  test("reload() takes it at once", () => {
    using files = open();
    const second = createSelfSigned("localhost");
    write(second);
    files.reload();
    expect(adopted).toEqual([second]);
  });

  test.each([
    ["a key that does not fit", () => writeFileSync(paths.tlsKey, createSelfSigned("x").key), /does not fit/],
    [
      "half a file",
      () => writeFileSync(paths.tlsCert, first.cert.slice(0, 100)),
      /No certificate in --tls-cert/,
    ],
    ["no file", () => unlinkSync(paths.tlsKey), /Cannot read --tls-key .*: no such file$/],
  ])("%s is one warning, and the old one stays until there is another", (_, spoil, message) => {
    using files = open();
    spoil();
    clock.advance(LOOK_MS);
    // It may be half written.
    expect(warnings).toEqual([]);
    clock.advance(10 * LOOK_MS);
    expect(warnings).toEqual([expect.stringMatching(message)]);
    expect(warnings[0]).toStartWith("The certificate stays as it was: ");
    expect([files.current, adopted]).toEqual([first, []]);
    const second = createSelfSigned("localhost");
    write(second);
    clock.advance(2 * LOOK_MS);
    expect([adopted, warnings.length]).toEqual([[second], 1]);
  });

  test("tells when it ends", async () => {
    write(createSelfSigned("localhost", { from: "20200101000000Z", to: "20500101000000Z" }));
    using files = open();
    const registry = createRegistry();
    declareTlsMetrics(registry, { node: "edge", tls: files });
    const seconds = Date.UTC(2050, 0, 1) / 1_000;
    expect(await registry.metrics()).toContain(`\nspillway_edge_tls_expiry_timestamp_seconds ${seconds}\n`);
  });
});
