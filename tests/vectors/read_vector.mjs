// A third implementation, in another language and from PROTOCOL.md alone: open a sealed image with nothing but node:crypto.
// node read_vector.mjs SEALED SIGNER.pem UNWRAP.pem prints the hashes of the cipher image and the key file as JSON.
import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { readFileSync } from "node:fs";

const CHUNK = 16384;
const LABEL = Buffer.from("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0");
const sha256 = (data) => crypto.createHash("sha256").update(data).digest();

function read(data, at = 0) {
  const major = data[at] >> 5;
  const low = data[at] & 31;
  if (data[at] === 0xf6) return [null, at + 1];
  assert(major < 7 && low < 28);
  const width = low < 24 ? 0 : 1 << (low - 24);
  let argument = low;
  if (width === 8) argument = Number(data.readBigUInt64BE(at + 1));
  else if (width) argument = data.readUIntBE(at + 1, width);
  at += 1 + width;
  if (major < 2) return [major ? -1 - argument : argument, at];
  if (major < 4) {
    const piece = data.subarray(at, at + argument);
    assert.equal(piece.length, argument);
    return [major === 2 ? piece : piece.toString(), at + argument];
  }
  if (major === 6) {
    const [value, end] = read(data, at);
    return [{ tag: argument, value }, end];
  }
  const values = [];
  for (let count = argument * (major - 3); count > 0; count--) {
    let value;
    [value, at] = read(data, at);
    values.push(value);
  }
  if (major === 4) return [values, at];
  return [new Map(values.filter((_, k) => k % 2 === 0).map((label, k) => [label, values[2 * k + 1]])), at];
}

function head(major, argument) {
  if (argument < 24) return Buffer.from([(major << 5) | argument]);
  if (argument < 256) return Buffer.from([(major << 5) | 24, argument]);
  return Buffer.from([(major << 5) | 25, argument >> 8, argument & 255]);
}

function write(value) {
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(write)]);
  const data = Buffer.from(value);
  return Buffer.concat([head(typeof value === "string" ? 3 : 2, data.length), data]);
}

const [sealedFile, signerFile, unwrapFile] = process.argv.slice(2);
const sealed = readFileSync(sealedFile);
const signer = crypto.createPublicKey(readFileSync(signerFile));
const unwrap = crypto.createPrivateKey(readFileSync(unwrapFile));
const kid = (key) => sha256(key.export({ format: "der", type: "spki" })).subarray(0, 16);

// Item 1: the signature over the hash of what follows.
const [manifest, start] = read(sealed);
const [protectedBytes, , digest, signature] = manifest.value;
const [header1] = read(protectedBytes);
const signed = write(["Signature1", protectedBytes, Buffer.alloc(0), digest]);
const edwards = header1.get(1) === -19;
const pss = { key: signer, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
assert.equal(manifest.tag, 18);
assert(header1.get(4).equals(kid(signer)));
assert(crypto.verify(edwards ? null : "sha256", signed, edwards ? signer : pss, signature));
const bulk = sealed.subarray(start);
assert.equal(bulk.length, header1.get(-70001));
assert(sha256(bulk).equals(digest));

// Item 2: the content key.
const [header, bodyStart] = read(bulk);
const mine = kid(crypto.createPublicKey(readFileSync(unwrapFile)));
const recipient = header.value[3].find(([, parameters]) => parameters.get(4).equals(mine));
assert.equal(header.tag, 96);
const contentKey = crypto.privateDecrypt(
  { key: unwrap, oaepHash: "sha256", padding: crypto.constants.RSA_PKCS1_OAEP_PADDING },
  recipient[2],
);

// Item 3: salt, commitment, chunks.
const [body] = read(bulk, bodyStart);
const imageId = header1.get(15).get(7);
const context = write(["Encrypt", header.value[0], write([header1.get(4), imageId])]);
const info = Buffer.concat([LABEL, body.subarray(0, 24), context]);
const expand = (...parts) => crypto.createHmac("sha512", contentKey).update(Buffer.concat(parts)).digest();
const first = expand(info, Buffer.from([1]));
const material = Buffer.concat([first, expand(first, info, Buffer.from([2]))]);
assert(material.subarray(44, 76).equals(body.subarray(24, 56)));
const pieces = [];
for (let at = 56, k = 0; k === 0 || pieces.at(-1).length === CHUNK; at += CHUNK + 16, k++) {
  const piece = body.subarray(at, at + CHUNK + 16);
  const nonce = Buffer.from(material.subarray(32, 44));
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ k) >>> 0, 8);
  const decipher = crypto.createDecipheriv("aes-256-gcm", material.subarray(0, 32), nonce, { authTagLength: 16 });
  decipher.setAuthTag(piece.subarray(-16));
  pieces.push(Buffer.concat([decipher.update(piece.subarray(0, -16)), decipher.final()]));
}
const plaintext = Buffer.concat(pieces);

// The plaintext: metadata, cipher image, and perhaps the key file.
const [metadata, imageStart] = read(plaintext);
const [image, keyStart] = read(plaintext, imageStart);
const explicit = metadata.get(7).get(7) === "explicit";
const [keyFile, end] = explicit ? read(plaintext, keyStart) : [null, keyStart];
assert.equal(end, plaintext.length);
console.log(
  JSON.stringify({
    device: header1.get(15).get(1),
    cipher_image_sha256: sha256(image).toString("hex"),
    key_file_sha256: keyFile && sha256(keyFile).toString("hex"),
  }),
);
