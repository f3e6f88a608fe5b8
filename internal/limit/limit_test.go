package limit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachKeyHasItsOwnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := New(2, 4)
		for range 4 {
			if wait := k.Take("a"); wait != 0 {
				t.Fatalf("refused within the burst, for %v", wait)
			}
		}
		if spent, wait := k.Spent("a"), k.Take("a"); spent != 500*time.Millisecond || wait != spent {
			t.Errorf("beyond the limit: wait %v, or %v, want half a second", spent, wait)
		}
		if k.Spent("b") != 0 || k.Take("b") != 0 {
			t.Error("another key is refused")
		}
		<-time.After(500 * time.Millisecond)
		if k.Spent("a") != 0 || k.Take("a") != 0 || k.Take("a") == 0 {
			t.Error("half a second gives back another number than one")
		}
	})
}

func TestAskingCountsNothing(t *testing.T) {
	k := New(1, 1)
	for range 10 {
		if k.Spent("a") != 0 {
			t.Fatal("spent by asking")
		}
	}
}

func TestNoLimit(t *testing.T) {
	k := New(0, 10)
	for range 1000 {
		if k.Take("a") != 0 || k.Spent("a") != 0 {
			t.Fatal("refused without a limit")
		}
	}
}

// Memory stays bounded, and a key that is in use is not forgotten for ones that are
// not.
func TestWhatWasNotSeenForLongestIsForgotten(t *testing.T) {
	k := New(1.0/3600, 1)
	k.Take("busy")
	for i := range 4 * shards * keysOfShard {
		k.Take(fmt.Sprint("key-", i))
		if i%100 == 0 && k.Spent("busy") == 0 {
			t.Fatal("a key in use was forgotten")
		}
	}
	total := 0
	for i := range k.shards {
		s := &k.shards[i]
		if len(s.keys) != s.seen.Len() {
			t.Errorf("%d keys, %d in order", len(s.keys), s.seen.Len())
		}
		total += len(s.keys)
	}
	if total > shards*keysOfShard {
		t.Errorf("%d keys are kept", total)
	}
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711":                      "192.0.2.7",
		"[::ffff:192.0.2.7]:4711":             "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:443":          "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff:ffff:ffff:1]:443": "2001:db8:1:2::/64",
		"[2001:db8:1:3::1]:443":               "2001:db8:1:3::/64",
		"[fe80::1%eth0]:443":                  "fe80::/64",
		"@":                                   "@",
		"":                                    "",
	} {
		if got := Address(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	k := New(1e9, 1e9)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k.Take("a key of twenty-six bytes.")
		}
	})
}
