package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
)

const (
	viewTurns  = 5
	viewWindow = 2 * time.Second
	clicks     = 20 // of one turn
	coldStarts = 5
	viewLimit  = 5 * time.Minute // after which a browser hangs

	wireGoal  = 1.01
	clickGoal = 1.3
	fpsGoal   = 0.95
	frameGoal = 1.0 // ms of CPU
	firstGoal = 1.3
	pssGoal   = 350 // MiB
)

// A viewer is a person's end of a live view.
type viewer struct {
	base, id string
	conn     *websocket.Conn
	wire     *atomic.Int64 // bytes that came
}

// view starts a login at the vault and views it, as a page does.
func view(ctx context.Context, base, page string) (*viewer, error) {
	v := &viewer{base: base, wire: new(atomic.Int64)}
	var login struct{ SessionID string }
	if err := v.post(ctx, "/browser-login/start", map[string]string{"providerId": page}, &login); err != nil {
		return nil, err
	}
	v.id = login.SessionID
	var ticket struct{ Ticket, ViewURL string }
	if err := v.post(ctx, "/browser-login/"+v.id+"/ticket", nil, &ticket); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		return counted{conn, v.wire}, err
	}}}
	conn, _, err := websocket.Dial(ctx, ticket.ViewURL, &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {base}}}) //nolint:bodyclose // of a handshake
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(16 << 20)
	v.conn = conn
	return v, v.say(ctx, map[string]string{"ticket": ticket.Ticket})
}

// counted counts what is read.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}

func (v *viewer) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+"/api/token-vault"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", v.base)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("%s: %s: %s", path, res.Status, text)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

func (v *viewer) say(ctx context.Context, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return v.conn.Write(ctx, websocket.MessageText, text)
}

// next returns the next picture, and passes scenes over.
func (v *viewer) next(ctx context.Context) ([]byte, error) {
	for {
		kind, message, err := v.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		if kind == websocket.MessageBinary && len(message) > tokenvault.FrameHeader {
			return message[tokenvault.FrameHeader:], nil
		}
	}
}

func (v *viewer) press(ctx context.Context) error {
	err := v.say(ctx, map[string]any{"kind": "mouse", "action": "down", "x": 600, "y": 400, "button": "left", "buttons": 1, "clicks": 1})
	return errors.Join(err, v.say(ctx, map[string]any{"kind": "mouse", "action": "up", "x": 600, "y": 400, "button": "left", "clicks": 1}))
}

func (v *viewer) showing(ctx context.Context, on bool) error {
	return v.say(ctx, map[string]any{"kind": "showing", "accept": on})
}

// close ends the login and its browser.
func (v *viewer) close(ctx context.Context) error {
	_ = v.conn.CloseNow()
	var out struct{}
	return v.post(ctx, "/browser-login/"+v.id+"/cancel", nil, &out)
}

// browser measures the live view against a bare browser that shows the same page.
func (b *bench) browser(ctx context.Context) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, viewLimit)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server, err := launch(ctx, self, "-view", b.dir)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	var all []result
	for _, measure := range []func(context.Context, *process) ([]result, error){inMotion, clicked, firstPictures} {
		results, err := measure(ctx, server)
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
	return all, nil
}

// A source shows pictures and takes clicks.
type source interface {
	next(ctx context.Context) ([]byte, error)
	press(ctx context.Context) error
}

// both starts a viewer and a bare browser at a page.
func both(ctx context.Context, base, page string) (*viewer, *bare, error) {
	ours, err := view(ctx, base, page)
	if err != nil {
		return nil, nil, err
	}
	if _, err := ours.next(ctx); err != nil {
		return nil, nil, err
	}
	raw, err := startBare(ctx)
	if err != nil {
		return nil, nil, err
	}
	return ours, raw, raw.show(ctx, pageURL(base, page))
}

// inMotion compares rates of pictures, and tells what one costs.
func inMotion(ctx context.Context, server *process) ([]result, error) {
	ours, raw, err := both(ctx, server.base, motion)
	if err != nil {
		return nil, err
	}
	defer raw.stop()
	if err := ours.showing(ctx, false); err != nil {
		return nil, err
	}
	var viewed, bared []float64
	var cost time.Duration
	var pictures, wire, size int64
	for range viewTurns {
		if err := raw.cast(ctx); err != nil {
			return nil, err
		}
		idle, err := server.cpu()
		if err != nil {
			return nil, err
		}
		n, _, err := count(ctx, raw)
		if err != nil {
			return nil, err
		}
		busy, err := server.cpu()
		if err != nil {
			return nil, err
		}
		cost -= busy - idle // what the server does without pictures, such as watching over memory
		bared = append(bared, n/viewWindow.Seconds())
		if err := raw.uncast(ctx); err != nil {
			return nil, err
		}

		if err := ours.showing(ctx, true); err != nil {
			return nil, err
		}
		if _, err := ours.next(ctx); err != nil {
			return nil, err
		}
		before, err := server.cpu()
		if err != nil {
			return nil, err
		}
		came := ours.wire.Load()
		n, length, err := count(ctx, ours)
		if err != nil {
			return nil, err
		}
		after, err := server.cpu()
		if err != nil {
			return nil, err
		}
		viewed = append(viewed, n/viewWindow.Seconds())
		cost, pictures, size, wire = cost+after-before, pictures+int64(n), size+length, wire+ours.wire.Load()-came
		if err := ours.showing(ctx, false); err != nil {
			return nil, err
		}
	}
	pss, err := pssBelow(server.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	perFrame := float64(cost.Microseconds()) / float64(pictures) / 1000
	return []result{
		{
			name: "view_wire_bytes", ratio: float64(wire) / float64(size), goal: wireGoal,
			detail: fmt.Sprintf("%.1f KiB of JPEG per picture of 1280x800", float64(size)/float64(pictures)/1024),
		},
		{
			name: "view_rate", ratio: median(ratios(viewed, bared)), goal: fpsGoal, atLeast: true,
			detail: fmt.Sprintf("%.1f pictures/s against %.1f/s of a bare screencast", median(viewed), median(bared)),
		},
		{name: "view_cpu", ratio: perFrame / frameGoal, goal: 1, detail: fmt.Sprintf("%.2f ms of CPU per picture, beyond that of a server that sends none, of at most %.0f ms", perFrame, frameGoal)},
		{name: "view_idle_memory", ratio: pss, goal: pssGoal, detail: "MiB of a browser that nobody looks at, shared pages divided (PSS)"},
	}, ours.close(ctx)
}

// count counts the pictures of a window, and their bytes.
func count(ctx context.Context, s source) (pictures float64, size int64, err error) {
	end := time.Now().Add(viewWindow)
	for time.Now().Before(end) {
		frame, err := s.next(ctx)
		if err != nil {
			return 0, 0, err
		}
		pictures++
		size += int64(len(frame))
	}
	return pictures, size, nil
}

// clicked compares the time from a click to the picture that shows what it did.
func clicked(ctx context.Context, server *process) ([]result, error) {
	ours, raw, err := both(ctx, server.base, flip)
	if err != nil {
		return nil, err
	}
	defer raw.stop()
	// A click before the page is there would be lost.
	if err := errors.Join(raw.cast(ctx), untilRed(ctx, raw), ours.say(ctx, map[string]string{"kind": "keyframe"}), untilRed(ctx, ours)); err != nil {
		return nil, err
	}
	var viewed, bared, oursAll, rawAll []float64
	oursRed, rawRed := true, true
	for turn := range viewTurns + 1 { // the first warms up
		a, err := clickTimes(ctx, raw, &rawRed)
		if err != nil {
			return nil, err
		}
		z, err := clickTimes(ctx, ours, &oursRed)
		if err != nil {
			return nil, err
		}
		if turn > 0 {
			bared, viewed = append(bared, median(a)), append(viewed, median(z))
			rawAll, oursAll = append(rawAll, a...), append(oursAll, z...)
		}
	}
	return []result{{
		name: "view_click", ratio: median(ratios(viewed, bared)), goal: clickGoal,
		detail: fmt.Sprintf("%.1f ms from click to picture at the viewer against %.1f ms over a bare pipe, medians", median(oursAll), median(rawAll)),
	}}, ours.close(ctx)
}

// clickTimes clicks, and waits each time for the picture that shows what the click
// did. red is what the page shows before and after.
func clickTimes(ctx context.Context, s source, red *bool) ([]float64, error) {
	var times []float64
	for range clicks {
		begun := time.Now()
		if err := s.press(ctx); err != nil {
			return nil, err
		}
		for now := *red; now == *red; {
			frame, err := s.next(ctx)
			if err != nil {
				return nil, err
			}
			took := time.Since(begun)
			if now, err = redOf(frame); err != nil {
				return nil, err
			}
			if now != *red {
				times = append(times, float64(took.Microseconds())/1000)
			}
		}
		*red = !*red
	}
	return times, nil
}

// firstPictures compares the time from nothing to the first picture of a page.
func firstPictures(ctx context.Context, server *process) ([]result, error) {
	var viewed, bared []float64
	for range coldStarts {
		begun := time.Now()
		raw, err := startBare(ctx)
		if err != nil {
			return nil, err
		}
		err = errors.Join(raw.show(ctx, pageURL(server.base, flip)), raw.cast(ctx), untilRed(ctx, raw))
		bared = append(bared, float64(time.Since(begun).Milliseconds()))
		raw.stop()
		if err != nil {
			return nil, err
		}

		begun = time.Now()
		ours, err := view(ctx, server.base, flip)
		if err == nil {
			err = untilRed(ctx, ours)
		}
		if err != nil {
			return nil, err
		}
		viewed = append(viewed, float64(time.Since(begun).Milliseconds()))
		if err := ours.close(ctx); err != nil {
			return nil, err
		}
	}
	return []result{{
		name: "view_first", ratio: median(ratios(viewed, bared)), goal: firstGoal,
		detail: fmt.Sprintf("%.0f ms from the start of a login to its first picture against %.0f ms over a bare pipe", median(viewed), median(bared)),
	}}, nil
}

func untilRed(ctx context.Context, s source) error {
	for {
		frame, err := s.next(ctx)
		if err != nil {
			return err
		}
		if red, err := redOf(frame); err != nil || red {
			return err
		}
	}
}

// pssBelow returns the memory of a process's descendants in MiB, shared pages
// divided among their users.
func pssBelow(root int) (float64, error) {
	children := make(map[int][]int)
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		_, parent, err := processTimes(file)
		pid, err2 := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil && err2 == nil { // else it has just ended
			children[parent] = append(children[parent], pid)
		}
	}
	kib := 0
	below := children[root]
	for len(below) > 0 {
		pid := below[0]
		below = append(below[1:], children[pid]...)
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if size, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
				if err != nil {
					return 0, err
				}
				kib += n
			}
		}
	}
	return float64(kib) / 1024, nil
}
