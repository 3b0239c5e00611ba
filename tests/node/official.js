// Signs with Tencent's own library, and reads tickets with Node's zlib and crypto: one JSON request a line, one JSON answer a line.
"use strict";
const crypto = require("node:crypto");
const readline = require("node:readline");
const zlib = require("node:zlib");
const official = require("tls-sig-api-v2");

function sign({ sdkAppId, key, userId, expire, roomId, roomStr, privileges }) {
  const api = new official.Api(sdkAppId, key);
  if (roomId !== undefined) return api.genPrivateMapKey(userId, expire, roomId, privileges);
  if (roomStr !== undefined) return api.genPrivateMapKeyWithStringRoomID(userId, expire, roomStr, privileges);
  return api.genUserSig(userId, expire);
}

// The ticket's fields, what its userbuf holds, and whether `key` signed it.
function read({ ticket, key }) {
  const base64 = ticket.replace(/\*/g, "+").replace(/-/g, "/").replace(/_/g, "=");
  const fields = JSON.parse(zlib.inflateSync(Buffer.from(base64, "base64")).toString("utf8"));
  const signed = ["TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire", "TLS.userbuf"].filter((name) => name in fields);
  const text = signed.map((name) => `${name}:${fields[name]}\n`).join("");
  const mac = crypto.createHmac("sha256", key).update(text).digest("base64");
  return { fields, verified: mac === fields["TLS.sig"], room: "TLS.userbuf" in fields ? unpack(fields["TLS.userbuf"]) : null };
}

function unpack(userbuf) {
  const buf = Buffer.from(userbuf, "base64");
  let at = 0;
  const number = (bytes) => buf.readUIntBE((at += bytes) - bytes, bytes);
  const text = () => {
    const length = number(2);
    return buf.toString("utf8", (at += length) - length, at);
  };
  const version = number(1);
  const room = {
    userId: text(),
    sdkAppId: number(4),
    roomId: number(4),
    expiresAt: number(4),
    privileges: number(4),
    accountType: number(4),
    roomStr: version === 1 ? text() : null,
  };
  if (version > 1 || at !== buf.length) throw new Error(`not a userbuf: ${userbuf}`);
  return room;
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  console.log(JSON.stringify(request.ticket === undefined ? sign(request) : read(request)));
});
