// Verify a receipt in the browser, with nothing of the operator's but the receipt itself and a key: that the signed
// root of the log covers the entry (RFC 6962), and that the signature is the key's (C2SP signed note, Ed25519).

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const same = (a, b) => a.length === b.length && a.every((value, place) => value === b[place]);

async function sha256(...parts) {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** Root of a log of `size` entries that has `leaf` at `index`, by the path of its siblings (RFC 9162, 2.1.3.2). */
export async function rootOf(leaf, index, size, path) {
  let [place, last, root] = [index, size - 1, leaf];
  for (const sibling of path) {
    if (last === 0) throw new Error("the path is too long");
    if (place % 2 === 1 || place === last) {
      root = await sha256(NODE, sibling, root);
      while (place % 2 === 0 && place !== 0) [place, last] = [place / 2, Math.floor(last / 2)];
    } else root = await sha256(NODE, root, sibling);
    [place, last] = [Math.floor(place / 2), Math.floor(last / 2)];
  }
  if (last !== 0) throw new Error("the path is too short");
  return root;
}

async function signedBy(key, text, signature) {
  const [, , ...encoded] = key.split("+");
  const raw = bytes(encoded.join("+")).slice(1);
  const imported = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, new TextEncoder().encode(text));
}

/** What a receipt proves: {entry, size, root, key, signature: true | false | "unknown"}. Throws where it proves nothing. */
export async function verify(receipt) {
  if (!crypto.subtle) throw new Error("the browser checks proofs on https pages and on 127.0.0.1 only");
  const gap = receipt.indexOf("\n\n");
  const [title, extraLine, indexLine, ...hashes] = receipt.slice(0, gap).split("\n");
  if (gap < 0 || title !== "c2sp.org/tlog-proof@v1") throw new Error("this is no receipt");
  const extra = JSON.parse(new TextDecoder().decode(bytes(extraLine.replace(/^extra /, ""))));
  const index = Number(indexLine.replace(/^index /, ""));
  const note = receipt.slice(gap + 2);
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const [, size, root] = text.split("\n");
  const leaf = await sha256(LEAF, new TextEncoder().encode(extra.entry));
  const found = await rootOf(leaf, index, Number(size), hashes.filter(Boolean).map(bytes));
  if (!same(found, bytes(root))) throw new Error("the log that was signed does not hold this entry");
  const [, , key] = extra.keys.filter(([, from], number) => number === 0 || from < Number(size)).at(-1);
  const line = note.slice(end + 2).split("\n").find((signed) => signed.startsWith(`\u2014 ${key.split("+")[0]} `));
  let signature = "unknown";
  try {
    signature = await signedBy(key, text, bytes(line.split(" ")[2]).slice(4));
  } catch (error) {
    if (error.name !== "NotSupportedError") throw error; // an old browser without Ed25519 checks the root alone
  }
  if (signature === false) throw new Error("the signature under the log is false");
  return { entry: JSON.parse(extra.entry), size: Number(size), root, key, signature };
}
