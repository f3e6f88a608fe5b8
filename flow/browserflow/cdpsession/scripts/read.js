// Reads what an origin keeps, in the form of Playwright's storageState. It runs in a blank page of the origin.
async (limits) => {
  const typed = {
    i8: Int8Array, ui8: Uint8Array, ui8c: Uint8ClampedArray, i16: Int16Array, ui16: Uint16Array, i32: Int32Array, ui32: Uint32Array,
    f32: Float32Array, f64: Float64Array, bi64: BigInt64Array, bui64: BigUint64Array,
  };
  const base64 = (bytes) => {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
  };

  // Returns what JSON can hold as it is, and anything else encoded; undefined if it cannot be: keys of WebCrypto, blobs.
  const encode = (value) => {
    let plain = true;
    const seen = new Map();
    const number = (n) => {
      if (Number.isFinite(n) && !Object.is(n, -0)) return n;
      plain = false;
      return { v: Object.is(n, -0) ? "-0" : String(n) };
    };
    const odd = (encoded) => {
      plain = false;
      return encoded;
    };
    const walk = (v) => {
      if (v === null) return { v: "null" };
      if (typeof v === "string" || typeof v === "boolean") return v;
      if (typeof v === "number") return number(v);
      if (typeof v === "undefined") return odd({ v: "undefined" });
      if (typeof v === "bigint") return odd({ bi: v.toString() });
      if (v instanceof Date) return odd({ d: v.toJSON() });
      if (v instanceof RegExp) return odd({ r: { p: v.source, f: v.flags } });
      if (v instanceof Error) return odd({ e: { n: v.name, m: v.message, s: v.stack ?? "" } });
      for (const [k, kind] of Object.entries(typed))
        if (v instanceof kind) return odd({ ta: { b: base64(new Uint8Array(v.buffer, v.byteOffset, v.byteLength)), k } });
      if (v instanceof ArrayBuffer) return odd({ ab: { b: base64(new Uint8Array(v)) } });
      if (seen.has(v)) return odd({ ref: seen.get(v) });
      const id = seen.size + 1;
      seen.set(v, id);
      if (v instanceof Map) return odd({ m: [...v].map(([key, item]) => ({ k: walk(key), v: walk(item) })), id });
      if (v instanceof Set) return odd({ s: [...v].map(walk), id });
      if (Array.isArray(v)) return { a: Array.from(v, walk), id };
      if (Object.getPrototypeOf(v) !== Object.prototype) throw new TypeError("cannot be written");
      return { o: Object.keys(v).map((key) => ({ k: key, v: walk(v[key]) })), id };
    };
    try {
      const encoded = walk(value);
      return plain ? { plain: value } : { encoded };
    } catch {
      return undefined;
    }
  };

  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const paths = ({ keyPath }) => (keyPath === null ? {} : Array.isArray(keyPath) ? { keyPathArray: keyPath } : { keyPath });

  let total = limits.total;
  const record = (key, value, inline) => {
    const entry = {};
    const encoded = encode(value);
    const encodedKey = inline ? {} : encode(key);
    if (!encoded || !encodedKey) return undefined;
    if ("plain" in encodedKey) entry.key = encodedKey.plain;
    else if (!inline) entry.keyEncoded = encodedKey.encoded;
    if ("plain" in encoded) entry.value = encoded.plain;
    else entry.valueEncoded = encoded.encoded;
    return entry;
  };
  // The records of a store; none of one that is large: it is a cache.
  const records = (store) =>
    new Promise((resolve, reject) => {
      const all = [];
      let size = 0;
      const request = store.openCursor();
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) {
          total -= size;
          resolve(all);
          return;
        }
        const entry = record(cursor.primaryKey, cursor.value, store.keyPath !== null);
        if (entry) all.push(entry);
        size += entry ? JSON.stringify(entry).length : 0;
        if (all.length > limits.records || size > Math.min(limits.bytes, total)) resolve([]);
        else cursor.continue();
      };
    });
  const database = async ({ name, version }) => {
    const db = await done(indexedDB.open(name));
    try {
      const stores = [];
      for (const storeName of db.objectStoreNames) {
        const store = db.transaction(storeName, "readonly").objectStore(storeName);
        const indexes = Array.from(store.indexNames, (n) => store.index(n)).map((index) => ({
          name: index.name, ...paths(index), multiEntry: index.multiEntry, unique: index.unique,
        }));
        stores.push({ name: storeName, ...paths(store), autoIncrement: store.autoIncrement, records: await records(store), indexes });
      }
      return { name, version, stores };
    } finally {
      db.close();
    }
  };

  const databases = [];
  for (const info of (await indexedDB.databases()).slice(0, limits.databases)) {
    try {
      databases.push(await database(info));
    } catch {
      // it is being deleted, or cannot be read
    }
  }
  return JSON.stringify({
    userAgent: navigator.userAgent,
    localStorage: Object.keys(localStorage).map((name) => ({ name, value: localStorage.getItem(name) })),
    indexedDB: databases,
  });
}
