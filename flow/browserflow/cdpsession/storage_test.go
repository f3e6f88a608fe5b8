package cdpsession_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// fillScript puts all kinds of values into databases, and says when it is done.
const fillScript = `<script>(async () => {
const done = (r) => new Promise((ok, no) => { r.onsuccess = () => ok(r.result); r.onerror = () => no(r.error); });
const request = indexedDB.open("odd", 7);
request.onupgradeneeded = () => {
  const db = request.result;
  db.createObjectStore("outside", { autoIncrement: true }).createIndex("by", ["a", "b"], { unique: true });
  db.createObjectStore("inside", { keyPath: ["x", "y"] }).createIndex("tags", "tags", { multiEntry: true });
  db.createObjectStore("large");
};
const db = await done(request);
const tx = db.transaction(["outside", "inside", "large"], "readwrite");
const cyclic = { list: [1, -0, NaN, null, undefined, "ü", 12n] };
cyclic.self = cyclic;
tx.objectStore("outside").put({ a: 1, b: 2, when: new Date(0), map: new Map([["k", new Set([1, "2"])]]), bytes: new Uint8Array([0, 255]), re: /x+/gi, cyclic, __proto__: null });
tx.objectStore("outside").put({ a: 3, b: 4 }, new Date(86400000));
tx.objectStore("inside").put({ x: 1, y: "z", tags: ["t", "u"], plain: { deep: [true, { n: 1.5 }] } });
const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, false, ["encrypt"]);
const tx2 = db.transaction(["inside", "large"], "readwrite");
tx2.objectStore("inside").put({ x: 2, y: "key", key });
for (let i = 0; i < 40; i++) tx2.objectStore("large").put("x".repeat(100000), i);
tx2.oncomplete = () => { document.title = "filled"; };
})().catch((e) => { document.title = "failed " + e; })</script>`

// lookScript tells what it finds in them.
const lookScript = `<script>(async () => {
const done = (r) => new Promise((ok, no) => { r.onsuccess = () => ok(r.result); r.onerror = () => no(r.error); });
const db = await done(indexedDB.open("odd"));
const store = (name) => db.transaction(name).objectStore(name);
const first = (await done(store("outside").getAll()))[0];
const c = first.cyclic;
const one = await done(store("inside").index("tags").get("u"));
const keys = (await done(store("outside").getAllKeys())).map((k) => k instanceof Date ? "date" : k);
const counts = [await done(store("inside").count()), await done(store("large").count())];
const out = store("outside");
document.title = JSON.stringify([
  db.version, out.autoIncrement, out.keyPath, out.index("by").unique, out.index("by").keyPath, first.when instanceof Date && first.when.getTime(),
  first.map.get("k").has("2"), [...first.bytes], String(first.re), c.self === c, Object.is(c.list[1], -0), Number.isNaN(c.list[2]), c.list[3], c.list.length,
  c.list[4] === undefined, c.list[5], String(c.list[6]), keys, store("inside").keyPath, one.plain.deep[1].n, counts,
]);
})().catch((e) => { document.title = "failed " + e; })</script>`

func TestDatabasesAreRestoredAsTheyWere(t *testing.T) {
	var requests atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/worker.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = fmt.Fprint(w, `onfetch = (e) => e.respondWith(new Response("<title>worker</title>", { headers: { "Content-Type": "text/html" } })); onactivate = (e) => e.waitUntil(clients.claim())`)
		case "/look":
			_, _ = fmt.Fprint(w, "<!doctype html><title>start</title>"+lookScript)
		default:
			_, _ = fmt.Fprint(w, "<!doctype html><title>start</title>"+fillScript)
		}
	}))
	t.Cleanup(site.Close)
	p := tokenvault.Provider{Login: &tokenvault.Login{URL: site.URL + "/fill", Domains: []string{strings.TrimPrefix(site.URL, "http://")}}}
	r := start(t, p, tokenvault.BrowserState{})
	r.title("filled")
	// A service worker that answers everything does not answer for the site's storage.
	r.run(`navigator.serviceWorker.register("/worker.js").then(() => navigator.serviceWorker.ready).then(() => { document.title = "works" })`)
	r.title("works")
	before := requests.Load()
	state, _ := r.capture()
	if n := requests.Load() - before; n != 0 {
		t.Errorf("%d requests were sent to the service to read the state", n)
	}
	if n := len(state.StorageState.Reveal()); n > 3<<20 {
		t.Errorf("a cache is kept: %d bytes", n)
	}
	p.Login.URL = site.URL + "/look"
	again := start(t, p, state)
	again.until("what is found", func() bool {
		return strings.HasPrefix(again.activeTab().Title, "[") || strings.HasPrefix(again.activeTab().Title, "failed")
	})
	const want = `[7,true,null,true,["a","b"],0,true,[0,255],"/x+/gi",true,true,true,null,7,true,"ü","12",[1,"date"],["x","y"],1.5,[1,0]]`
	if got := again.activeTab().Title; got != want {
		t.Errorf("restored\n %s\nwant\n %s", got, want)
	}
}

// What a frame of the service keeps inside another of its sites is apart from what it
// keeps for itself, and so are cookies that ask for it (CHIPS).
func TestStorageOfFramesIsCapturedAndRestored(t *testing.T) {
	var frameURL string
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Cookie("__Host-part")
		switch r.URL.Path {
		case "/frame":
			if r.URL.Query().Has("set") {
				http.SetCookie(w, &http.Cookie{Name: "__Host-part", Value: "chips", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, Partitioned: true})
				_, _ = fmt.Fprint(w, `<script>localStorage.setItem("in-frame", "apart"); sessionStorage.setItem("s", "1"); parent.postMessage("set", "*")</script>`)
				return
			}
			_, _ = fmt.Fprintf(w, `<script>parent.postMessage(JSON.stringify([localStorage.getItem("in-frame"), %t]), "*")</script>`, c != nil && c.Value == "chips")
		default:
			_, _ = fmt.Fprintf(w, `<!doctype html><title>top</title><script>onmessage = (e) => { document.title = e.data }</script><iframe src="%s/frame?%s"></iframe>`, frameURL, r.URL.RawQuery)
		}
	}))
	t.Cleanup(site.Close)
	frameURL = strings.Replace(site.URL, "127.0.0.1", "widget.localhost", 1)
	host := func(u string) string { return strings.TrimPrefix(u, "http://") }
	p := tokenvault.Provider{Login: &tokenvault.Login{URL: site.URL + "/?set", Domains: []string{host(site.URL), host(frameURL)}}}
	r := start(t, p, tokenvault.BrowserState{})
	r.title("set")
	state, parsed := r.capture()
	if len(parsed.PartitionedLocalStorage) != 1 || len(parsed.Cookies) != 1 || parsed.Cookies[0].PartitionKey != "http://127.0.0.1" {
		keys, _ := json.Marshal(parsed.PartitionedLocalStorage)
		t.Fatalf("partitioned storage %s, %d cookies", keys, len(parsed.Cookies))
	}
	p.Login.URL = site.URL + "/?get"
	again := start(t, p, state)
	again.title(`["apart",true]`)
	if _, parsed := again.capture(); len(parsed.PartitionedLocalStorage) != 1 || len(parsed.Cookies) != 1 {
		t.Errorf("captured again: partitioned storage of %d, %d cookies", len(parsed.PartitionedLocalStorage), len(parsed.Cookies))
	}
}
