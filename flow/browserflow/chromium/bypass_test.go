//go:build linux

package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// knocks tries to reach a host:port in every way that a page has, and returns when
// each has failed or answered. An opaque answer counts as one.
const knocks = `async target => {
	const quiet = promise => promise.then(() => 'reached', () => 'failed')
	const event = (node, attribute, url) => new Promise((yes, no) => {
		node.onload = yes
		node.onerror = no
		node[attribute] = url
		document.body.append(node)
	})
	const socket = new Promise((yes, no) => {
		const ws = new WebSocket('ws://' + target + '/ws')
		ws.onopen = yes
		ws.onerror = no
	})
	const [fetched, websocket, image] = await Promise.all([
		quiet(fetch('http://' + target + '/fetch', { mode: 'no-cors' })),
		quiet(socket),
		quiet(event(new Image(), 'src', 'http://' + target + '/img')),
	])
	for (const rel of ['prefetch', 'preconnect', 'dns-prefetch', 'preload', 'prerender']) {
		const link = document.createElement('link')
		Object.assign(link, { rel, as: 'script', href: 'http://' + target + '/' + rel })
		document.head.append(link)
	}
	navigator.sendBeacon('http://' + target + '/beacon', 'x')
	return { fetched, websocket, image }
}`

// Ten ways to name a private service, by four ways to go there, and some more.
func TestB3PrivateAddressesAreNotReached(t *testing.T) {
	var hits atomic.Int32
	private := site(t, func(_ http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		t.Errorf("the private service was reached: %s %s", r.Host, r.URL.Path)
	})
	_, port, err := net.SplitHostPort(private)
	if err != nil {
		t.Fatal(err)
	}
	login := site(t, page("<title>hostile</title><body>"))
	c := newConfig(t, Options{AllowHosts: []string{login}, resolve: resolver()})
	b := boot(t, c)
	for _, target := range targets(port) {
		if failed := b.open(t, "http://"+login+"/"); failed != "" || b.eval(t, "document.title") != `"hostile"` {
			t.Fatalf("the login page: %s", failed)
		}
		quoted, _ := json.Marshal(target)
		if got := b.eval(t, "("+knocks+")("+string(quoted)+")"); strings.Contains(got, "reached") {
			t.Errorf("%s: %s", target, got)
		}
		if failed := b.open(t, "http://"+target+"/navigate"); failed == "" {
			t.Errorf("%s: the navigation did not fail", target)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d private hits, want none", hits.Load())
	}
}

// Without the rule that loopback is not an exception, the proxy is passed by: so the
// test above can fail.
func TestB3TestCanFail(t *testing.T) {
	private := site(t, page("<title>private</title>"))
	b := boot(t, newConfig(t, Options{}))
	var apart struct{ BrowserContextID string }
	b.call(t, "", "Target.createBrowserContext", map[string]any{"proxyServer": "http://" + b.proxy.address(), "proxyBypassList": "127.0.0.1"}, &apart)
	var target struct{ TargetID string }
	b.call(t, "", "Target.createTarget", map[string]any{"url": "http://" + private, "browserContextId": apart.BrowserContextID}, &target)
	var attached struct{ SessionID string }
	b.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.page = attached.SessionID
	eventually(t, "the private service is reached", func() bool { return b.eval(t, "document.title") == `"private"` })
}

// Nothing goes by UDP, which no proxy here carries: neither WebRTC nor HTTP/3.
func TestB3NoUDP(t *testing.T) {
	port, packets := udp(t)
	login := site(t, page("<title>hostile</title>"))
	b := boot(t, newConfig(t, Options{AllowHosts: []string{login}}))
	b.open(t, "http://"+login+"/")
	got := b.eval(t, fmt.Sprintf(`(async () => {
		const peer = new RTCPeerConnection({ iceServers: [{ urls: 'stun:127.0.0.1:%[1]d' }, { urls: 'turn:127.0.0.1:%[1]d', username: 'x', credential: 'x' }] })
		const candidates = []
		peer.onicecandidate = e => e.candidate && candidates.push(e.candidate.candidate)
		peer.createDataChannel('x')
		await peer.setLocalDescription(await peer.createOffer())
		await new Promise(done => {
			peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done()
			if (peer.iceGatheringState === 'complete') done()
		})
		try {
			await new WebTransport('https://127.0.0.1:%[1]d/').ready
			candidates.push('webtransport')
		} catch {}
		return candidates.join(' ')
	})()`, port))
	if got != `""` {
		t.Errorf("the page learned of %s", got)
	}
	if n := packets(); n != 0 {
		t.Errorf("%d packets arrived by UDP", n)
	}
}

// A browser that just starts, or shows a page, calls nobody else.
func TestBrowserCallsNobody(t *testing.T) {
	asked := make(chan string, 100)
	login := site(t, page("<title>plain</title><form><input type=password autofocus></form>"))
	b := boot(t, newConfig(t, Options{AllowHosts: []string{login}, resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		asked <- host
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}}))
	b.open(t, "http://"+login+"/")
	// A browser looks at autofocus when it draws, which may be after the page is loaded.
	eventually(t, "the field has the focus", func() bool { return b.eval(t, "document.activeElement.localName") == `"input"` })
	b.call(t, b.page, "Input.insertText", map[string]any{"text": "secret"}, nil)
	if got := b.eval(t, "document.querySelector('input').value"); got != `"secret"` {
		t.Errorf("typed %s", got)
	}
	select {
	case host := <-asked:
		t.Errorf("the browser called %s", host)
	default:
	}
}

// A service sees an ordinary Chromium.
func TestBrowserIsNotHeadlessToSites(t *testing.T) {
	agents := make(chan string, 10)
	login := site(t, func(w http.ResponseWriter, r *http.Request) {
		agents <- r.UserAgent() + " " + r.Header.Get("Sec-CH-UA")
		page("<title>x</title>")(w, r)
	})
	b := boot(t, newConfig(t, Options{AllowHosts: []string{login}}))
	b.open(t, "http://"+login+"/")
	inPage := b.eval(t, "navigator.userAgent + JSON.stringify(navigator.userAgentData ?? null) + navigator.webdriver")
	for _, told := range []string{<-agents, inPage} {
		if strings.Contains(told, "Headless") || !strings.Contains(told, "Chrome/") || strings.Contains(told, "true") {
			t.Errorf("a site is told %s", told)
		}
	}
	t.Log(inPage)
}
