/**
 * The certificate of a node's HTTP side: read and checked before it is used, so that a wrong file is one clear line and
 * not a handshake that fails for every viewer.
 */
// RFC 7468 (PEM), RFC 8446 4.4.2 (the chain: the node's own certificate first)
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { errorCode, OptionError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { choice, text, type OptionSet } from "#common/options.ts";

/** `--tls-cert` and `--tls-key`: both or none. And what there is with them. */
export const tlsOptions = {
  "tls-cert": text({
    table: "top",
    description:
      "Certificate chain as PEM, the node's own certificate first: HTTPS with HTTP/2, HTTP/3, and HTTP/1.1 for who asks for that. Read again when the file changes, and on SIGHUP. Under `start` for the edges; server and origin stay on loopback without it.",
    valueName: "<file>",
    default: "",
    defaultText: "none",
    pattern: /^[^\0]*$/,
    allowed: "a path",
  }),
  "tls-key": text({
    table: "top",
    description: "Private key of `--tls-cert` as PEM, without a passphrase.",
    valueName: "<file>",
    default: "",
    defaultText: "none",
    pattern: /^[^\0]*$/,
    allowed: "a path",
  }),
  http3: choice({
    table: "top",
    description:
      "HTTP/3 on the same port of UDP, where there is a certificate; clients hear of it from every answer (Alt-Svc). Where the port cannot be opened, that is a warning. Off with several `--edge-workers`: one of them would get all of it.",
    choices: ["on", "off"],
    default: "on",
  }),
} satisfies OptionSet;

/** Paths as configured; empty for none. */
export interface TlsPaths {
  readonly tlsCert: string;
  readonly tlsKey: string;
}

/** A certificate chain and its key as PEM, known to fit each other. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Where a server has its certificate from. */
export interface TlsSource {
  /** The one to use now. */
  readonly current: Tls;
  /** When the first of its chain ends, in milliseconds since the epoch. */
  readonly expiryMs: number;
  /** Has `listener` told whenever there is another one. */
  onChange(listener: (tls: Tls) => void): void;
}

/** True where the options ask for TLS. Throws {@link OptionError} where one of them is missing. */
export function wantsTls({ tlsCert, tlsKey }: TlsPaths): boolean {
  if (tlsCert === "" && tlsKey === "") return false;
  if (tlsKey === "")
    throw new OptionError("Option --tls-cert needs --tls-key, the certificate's private key");
  if (tlsCert === "") throw new OptionError("Option --tls-key needs --tls-cert, the certificate of that key");
  return true;
}

/** Reads the files that the options name. Throws {@link OptionError} where they cannot be read. */
export function readTlsTexts({ tlsCert, tlsKey }: TlsPaths): Tls {
  return { cert: readOptionFile("tls-cert", tlsCert), key: readOptionFile("tls-key", tlsKey) };
}

/**
 * Throws {@link OptionError} for everything that no client could connect to. A certificate that is over or not valid yet is
 * a warning, since clocks are wrong too. Returns when the first of the chain ends, in milliseconds since the epoch.
 */
export function checkTls(
  { cert, key }: Tls,
  options: { readonly paths: TlsPaths; readonly log: Log; readonly wallMs: number },
): number {
  const { tlsCert, tlsKey } = options.paths;
  const chain = readChain(tlsCert, cert);
  checkKey({ path: tlsKey, chain, key: readKey(tlsKey, key) });
  warnOfDates(chain, options.log, options.wallMs);
  return Math.min(...chain.map(({ validTo }) => Date.parse(validTo)));
}

function readOptionFile(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = FILE_ERRORS[errorCode(error) ?? ""];
    const message = `Cannot read --${option} ${path}`;
    // The system's own words would say the same once more.
    throw why === undefined
      ? new OptionError(message, { cause: error })
      : new OptionError(`${message}: ${why}`);
  }
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a folder",
};

function readChain(path: string, pem: string): readonly X509Certificate[] {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new OptionError(`No certificate in --tls-cert ${path}: expected PEM`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new OptionError(`Certificate ${index + 1} in --tls-cert ${path} is damaged`, { cause: error });
    }
  });
}

function readKey(path: string, pem: string): KeyObject {
  if (pem.includes("ENCRYPTED")) {
    throw new OptionError(`The key in --tls-key ${path} is encrypted: expected one without a passphrase`);
  }
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new OptionError(`No private key in --tls-key ${path}: expected PEM`, { cause: error });
  }
}

/** The key has to be that of the chain's first certificate. */
function checkKey(options: {
  readonly path: string;
  readonly chain: readonly X509Certificate[];
  readonly key: KeyObject;
}): void {
  const { path, chain, key } = options;
  const index = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (index === 0) return;
  const message = `The key in --tls-key ${path} does not fit the first certificate of --tls-cert`;
  throw new OptionError(
    index < 0 ? message : `${message} but number ${index + 1}: the node's own has to be the first`,
  );
}

function warnOfDates(chain: readonly X509Certificate[], log: Log, wallMs: number): void {
  for (const { subject, validFrom, validTo } of chain) {
    if (Date.parse(validTo) < wallMs)
      log.warn("A certificate of --tls-cert has expired", { subject, validTo });
    if (Date.parse(validFrom) > wallMs) {
      log.warn("A certificate of --tls-cert is not valid yet", { subject, validFrom });
    }
  }
}
