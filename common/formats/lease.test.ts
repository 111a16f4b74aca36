/** Lease messages: round trips, and refusal of whatever is out of range. */
import { describe, expect, test } from "bun:test";
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  type LeaseHello,
  type LeaseMessage,
  type LeaseSegmentHosts,
  NO_SEGMENT_HOSTS,
  SEGMENT_HOSTS_MAX,
} from "#common/formats/lease.ts";

const hello: LeaseHello = {
  type: "hello",
  version: 1,
  publicUrl: "",
  scheme: "http",
  port: 8081,
  region: "hall-2",
  capacityBitsPerSecond: 1e9,
};

const host = { url: "https://edge.example.org/base", weight: 1_000 };
const table: LeaseSegmentHosts = {
  type: "segment-hosts",
  origin: "0f1e2d",
  version: 3,
  from: { cmaf: 898_000_000, ts: 1_796_000_000 },
  hosts: [host, { url: "http://[::1]:8081", weight: 1 }],
};

/** As many hosts as there may be, each with a URL as long as may be. */
const longest = Array.from({ length: SEGMENT_HOSTS_MAX }, (_, index) => ({
  url: `https://edge${String(index).padStart(500, "0")}`,
  weight: 1_000_000,
}));

describe("decodeLeaseMessage()", () => {
  const messages: LeaseMessage[] = [
    hello,
    { ...hello, publicUrl: "https://edge.example.org/live" },
    { type: "load", state: "ready", viewers: 12, egressBitsPerSecond: 72_000_000 },
    { type: "welcome", version: 1 },
    table,
    { ...table, hosts: [] },
    NO_SEGMENT_HOSTS,
  ];
  test.each(messages)("reads back %j", (message) => {
    expect(decodeLeaseMessage(encodeLeaseMessage(message))).toEqual(message);
  });

  test("reads back the longest table", () => {
    const message = { ...table, hosts: longest };
    expect(decodeLeaseMessage(encodeLeaseMessage(message))).toEqual(message);
  });

  test.each([
    ["nothing", ""],
    ["an array", "[]"],
    ["null", "null"],
    ["half a message", "{"],
    ["missing fields", '{"type":"hello"}'],
    ["another type", '{"type":"other"}'],
    ["a port too high", JSON.stringify({ ...hello, port: 70_000 })],
    ["a port with a fraction", JSON.stringify({ ...hello, port: 80.5 })],
    ["another scheme", JSON.stringify({ ...hello, scheme: "ftp" })],
    ["a URL that would break a playlist", JSON.stringify({ ...hello, publicUrl: 'http://a/"\n#EXTINF' })],
    ["a URL with a user", JSON.stringify({ ...hello, publicUrl: "https://me:secret@a" })],
    ["a URL with a query", JSON.stringify({ ...hello, publicUrl: "https://a/?b" })],
    ["a URL with an empty fragment", JSON.stringify({ ...hello, publicUrl: "https://a/#" })],
    ["a URL of another kind", JSON.stringify({ ...hello, publicUrl: "javascript:alert(1)" })],
    ["a region with a space", JSON.stringify({ ...hello, region: "a b" })],
    ["an unknown state", JSON.stringify({ type: "load", state: "gone", viewers: 1, egressBitsPerSecond: 1 })],
    [
      "a negative count",
      JSON.stringify({ type: "load", state: "ready", viewers: -1, egressBitsPerSecond: 1 }),
    ],
    ["a table of a strange origin", JSON.stringify({ ...table, origin: "a b" })],
    ["a table without a number", JSON.stringify({ ...table, from: { cmaf: 1 } })],
    ["a table from nowhere", JSON.stringify({ ...table, from: null })],
    ["a table without hosts", JSON.stringify({ ...table, hosts: { length: 0 } })],
    ["a table of too many", JSON.stringify({ ...table, hosts: [...longest, host] })],
    ["a table of no host", JSON.stringify({ ...table, hosts: [null] })],
    ["a host without weight", JSON.stringify({ ...table, hosts: [{ ...host, weight: 0 }] })],
    ["a host without URL", JSON.stringify({ ...table, hosts: [{ ...host, url: "" }] })],
    ["a host that ends in a slash", JSON.stringify({ ...table, hosts: [{ ...host, url: "http://a/" }] })],
    ["a host that breaks a playlist", JSON.stringify({ ...table, hosts: [{ ...host, url: 'http://a"\n' }] })],
    ["a table too long", JSON.stringify({ ...table, padding: "x".repeat(70_000) })],
    ["a message too long", JSON.stringify({ ...hello, padding: "x".repeat(5_000) })],
  ])("refuses %s", (_, text) => {
    expect(decodeLeaseMessage(text)).toBeUndefined();
  });
});
