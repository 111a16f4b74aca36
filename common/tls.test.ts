/** Files of `--tls-cert` and `--tls-key`: what is taken, and what each mistake is called. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError, OptionError } from "#common/errors.ts";
import { createSelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { silentLog } from "#common/log.ts";
import { checkTls, readTlsTexts, wantsTls, type Tls } from "#common/tls.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-tls-"));
afterAll(() => rmSync(folder, { recursive: true }));

const WALL_MS = Date.UTC(2026, 10, 21);
const own = createSelfSigned("localhost");
const issuer = createSelfSigned("issuer");

/** Path of a file that holds `content`. */
function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const cert = file("cert.pem", own.cert);
const key = file("key.pem", own.key);

/** As a node does at start. */
function read(tlsCert: string, tlsKey: string, log = silentLog): Tls | undefined {
  const paths = { tlsCert, tlsKey };
  if (!wantsTls(paths)) return undefined;
  const tls = readTlsTexts(paths);
  checkTls(tls, { paths, log, wallMs: WALL_MS });
  return tls;
}

function failureOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    return describeError(error);
  }
  return "";
}

describe("the files of --tls-cert and --tls-key", () => {
  test("without paths there is no TLS, which is no mistake", () => {
    expect(read("", "")).toBeUndefined();
  });

  test("takes a chain whole, the node's own certificate first", () => {
    const chain = `${own.cert}${issuer.cert}`;
    expect(read(file("chain.pem", chain), key)).toEqual({ cert: chain, key: own.key });
  });

  test.each([
    ["a certificate alone", cert, "", "--tls-cert needs --tls-key"],
    ["a key alone", "", key, "--tls-key needs --tls-cert"],
    ["no such file", join(folder, "absent.pem"), key, "Cannot read --tls-cert .*absent.pem: no such file$"],
    ["a folder", cert, folder, "Cannot read --tls-key .*: is a folder$"],
    ["no certificate in it", key, key, "No certificate in --tls-cert .*key.pem: expected PEM"],
    ["no key in it", cert, cert, "No private key in --tls-key .*cert.pem: expected PEM"],
    [
      "a damaged certificate",
      file("damaged.pem", own.cert.replace(/^M/m, "A")),
      key,
      "Certificate 1 in --tls-cert .* is damaged",
    ],
    [
      "an encrypted key",
      cert,
      file("locked.pem", own.key.replaceAll("PRIVATE", "ENCRYPTED PRIVATE")),
      "The key in --tls-key .* is encrypted",
    ],
    ["another's key", cert, file("other.pem", issuer.key), "does not fit the first certificate"],
    [
      "a chain in the wrong order",
      file("reversed.pem", `${issuer.cert}${own.cert}`),
      key,
      "does not fit the first certificate of --tls-cert but number 2: the node's own has to be the first",
    ],
  ])("%s is an error that says so", (_, tlsCert, tlsKey, message) => {
    const attempt = (): unknown => read(tlsCert, tlsKey);
    expect(attempt).toThrow(OptionError);
    // As it is printed.
    expect(failureOf(attempt)).toMatch(new RegExp(message));
  });

  test.each([
    ["has expired", { from: "20200101000000Z", to: "20260101000000Z" }],
    ["is not valid yet", { from: "20270101000000Z", to: "20280101000000Z" }],
  ])("a certificate that %s is used, with a warning", (words, valid) => {
    const old = createSelfSigned("localhost", valid);
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
    expect(read(file("old.pem", old.cert), file("old-key.pem", old.key), log)).toEqual(old);
    expect(warnings).toEqual([`A certificate of --tls-cert ${words}`]);
  });
});
