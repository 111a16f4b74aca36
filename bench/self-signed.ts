/**
 * A certificate that signs itself, made anew for the tests of the load scripts' TLS: no key lies in the repository,
 * and no program beside Bun is needed. Only tests use it.
 */
// RFC 5280 4.1 (certificates), ITU-T X.690 (DER), RFC 5758 3.2 (ECDSA with SHA-256)
import { generateKeyPairSync, sign } from "node:crypto";

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** 2.5.4.3, the common name, and 1.2.840.10045.4.3.2, ECDSA with SHA-256, each with tag and length. */
const OID_COMMON_NAME = Buffer.from("0603550403", "hex");
const OID_ECDSA_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");
const NOT_BEFORE = "20200101000000Z";
const NOT_AFTER = "21200101000000Z";

/** Key and certificate as PEM, for `tls` of `Bun.serve`. */
export interface SelfSigned {
  readonly key: string;
  readonly cert: string;
}

/** Makes a key and a certificate of version 1 for it that nobody trusts. */
export function createSelfSigned(commonName: string): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = der(SEQUENCE, OID_ECDSA_SHA256);
  const name = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, OID_COMMON_NAME, der(UTF8_STRING, Buffer.from(commonName)))),
  );
  const validity = der(SEQUENCE, time(NOT_BEFORE), time(NOT_AFTER));
  const publicKeyInfo = publicKey.export({ type: "spki", format: "der" });
  const serial = der(INTEGER, Buffer.of(1));
  const content = der(SEQUENCE, serial, algorithm, name, validity, name, publicKeyInfo);
  // The first byte of a bit string counts the unused bits of its last one.
  const signature = der(BIT_STRING, Buffer.of(0), sign("sha256", content, privateKey));
  const text = der(SEQUENCE, content, algorithm, signature).toString("base64");
  // RFC 7468 2: lines of 64 characters, and none that is empty.
  const lines = text.match(/.{1,64}/g) ?? [];
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
  };
}

function time(text: string): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(text));
}

/** A value with its tag and length (X.690 8.1): a length from 128 on is written in bytes whose count comes first. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 0xff), content]);
}
