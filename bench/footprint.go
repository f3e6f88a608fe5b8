package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	starts     = 11
	idle       = time.Second
	binaryGoal = 30 // MB
	rssGoal    = 30 // MiB
	startGoal  = 4
)

// footprint measures the binary, what it takes in memory when nobody calls, and
// how long it takes from its start to the first credential.
func (b *bench) footprint(ctx context.Context) ([]result, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, err
	}
	memory, err := b.idleMemory(ctx)
	if err != nil {
		return nil, err
	}
	var hellos, ours, ratios []float64
	for range starts {
		least, err := firstAnswer(ctx, getHello, b.hello)
		if err != nil {
			return nil, err
		}
		took, err := firstAnswer(ctx, b.postResolve, b.binary, b.serveArgs()...)
		if err != nil {
			return nil, err
		}
		hellos, ours, ratios = append(hellos, ms(least)), append(ours, ms(took)), append(ratios, float64(took)/float64(least))
	}
	return []result{
		{name: "binary_size", ratio: float64(info.Size()) / 1e6, goal: binaryGoal, detail: "MB, without cgo"},
		{name: "idle_rss", ratio: memory, goal: rssGoal, detail: "MiB, a second after the start"},
		{
			name: "cold_start", ratio: median(ratios), goal: startGoal,
			detail: fmt.Sprintf("first credential after %.0f ms, hello after %.0f ms", median(ours), median(hellos)),
		},
	}, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// serveArgs starts the shipped binary with its defaults on the seeded directory.
func (b *bench) serveArgs() []string {
	return []string{"serve", "--data-dir", filepath.Dir(b.seeded.path), "--listen", "127.0.0.1:0"}
}

func (b *bench) idleMemory(ctx context.Context) (float64, error) {
	p, err := launch(ctx, b.binary, b.serveArgs()...)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	time.Sleep(idle)
	return p.rss()
}

// firstAnswer returns how long it takes from the start of a server to its first
// answer.
func firstAnswer(ctx context.Context, request requester, name string, args ...string) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	begun := time.Now()
	p, err := launch(ctx, name, args...)
	if err != nil {
		return 0, err
	}
	err = once(ctx, client, p.base, request)
	took := time.Since(begun)
	p.stop()
	return took, err
}
