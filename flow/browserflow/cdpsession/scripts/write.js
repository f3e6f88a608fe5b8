// Writes what read.js has read. It runs in a blank page of the origin, before any page of the site.
async ({ localStorage: items, indexedDB: databases }) => {
  const typed = {
    i8: Int8Array, ui8: Uint8Array, ui8c: Uint8ClampedArray, i16: Int16Array, ui16: Uint16Array, i32: Int32Array, ui32: Uint32Array,
    f32: Float32Array, f64: Float64Array, bi64: BigInt64Array, bui64: BigUint64Array,
  };
  const values = { undefined: undefined, null: null, NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity, "-0": -0 };
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const decode = (encoded) => {
    const refs = new Map();
    const keep = (id, v) => {
      refs.set(id, v);
      return v;
    };
    const walk = (v) => {
      if (typeof v !== "object" || v === null) return v;
      if ("ref" in v) return refs.get(v.ref);
      if ("v" in v) return values[v.v];
      if ("d" in v) return new Date(v.d);
      if ("bi" in v) return BigInt(v.bi);
      if ("r" in v) return new RegExp(v.r.p, v.r.f);
      if ("e" in v) return Object.assign(new Error(v.e.m), { name: v.e.n, stack: v.e.s });
      if ("ta" in v) return new typed[v.ta.k](bytes(v.ta.b).buffer);
      if ("ab" in v) return bytes(v.ab.b).buffer;
      if ("a" in v) {
        const list = keep(v.id, []);
        for (const item of v.a) list.push(walk(item));
        return list;
      }
      if ("m" in v) {
        const map = keep(v.id, new Map());
        for (const { k, v: item } of v.m) map.set(walk(k), walk(item));
        return map;
      }
      if ("s" in v) {
        const set = keep(v.id, new Set());
        for (const item of v.s) set.add(walk(item));
        return set;
      }
      const object = keep(v.id, {});
      for (const { k, v: item } of v.o ?? []) if (k !== "__proto__") object[k] = walk(item);
      return object;
    };
    return walk(encoded);
  };

  for (const { name, value } of items ?? []) localStorage.setItem(name, value);

  const path = ({ keyPath, keyPathArray }) => keyPathArray ?? keyPath ?? null;
  const create = (db, store) => {
    const made = db.createObjectStore(store.name, { keyPath: path(store), autoIncrement: store.autoIncrement });
    for (const index of store.indexes) made.createIndex(index.name, path(index), { unique: index.unique, multiEntry: index.multiEntry });
  };
  const put = (store, r) => {
    const value = "valueEncoded" in r ? decode(r.valueEncoded) : r.value;
    const key = "keyEncoded" in r ? decode(r.keyEncoded) : r.key;
    store.put(value, ...(store.keyPath === null ? [key] : []));
  };
  for (const { name, version, stores } of databases ?? []) {
    await new Promise((resolve, reject) => {
      const request = indexedDB.open(name, version);
      request.onerror = () => reject(request.error);
      request.onupgradeneeded = () => {
        for (const store of stores) create(request.result, store);
        // The same transaction creates and fills: a page never sees the one without the other.
        for (const store of stores) for (const r of store.records) put(request.transaction.objectStore(store.name), r);
      };
      request.onsuccess = () => {
        request.result.close();
        resolve();
      };
    });
  }
  return true;
}
