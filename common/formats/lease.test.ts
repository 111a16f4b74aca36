/** Lease messages: round trips, and refusal of whatever is out of range. */
import { describe, expect, test } from "bun:test";
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  type LeaseHello,
  type LeaseMessage,
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

describe("decodeLeaseMessage()", () => {
  const messages: LeaseMessage[] = [
    hello,
    { ...hello, publicUrl: "https://edge.example.org/live" },
    { type: "load", state: "ready", viewers: 12, egressBitsPerSecond: 72_000_000 },
    { type: "welcome", version: 1 },
  ];
  test.each(messages)("reads back %j", (message) => {
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
    ["a message too long", JSON.stringify({ ...hello, padding: "x".repeat(5_000) })],
  ])("refuses %s", (_, text) => {
    expect(decodeLeaseMessage(text)).toBeUndefined();
  });
});
