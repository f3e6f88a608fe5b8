package cdpsession

import (
	"encoding/json"
	"net/url"
	"slices"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	maxOrigins  = 64
	maxMirrored = 4 << 20 // bytes
)

// A mirror remembers what tabs and frames of the provider's domains kept, which
// cannot be asked for once they are gone: which origins there were, session storage,
// and the storage of frames inside other sites. Protected by the session's lock.
type mirror struct {
	origins []string // in the order of their first sight
	areas   map[area]map[string]string
	size    int
}

// An area is one storage: of an origin, or of a frame's origin inside a site.
type area struct {
	key   string // the storage key
	local bool
}

// covers is as [tokenvault.Login.Covers].
func covers(login tokenvault.Login, text string) bool {
	u, err := url.Parse(text)
	return err == nil && login.Covers(u)
}

// saw notes the origin of a page or frame.
func (m *mirror) saw(login tokenvault.Login, text string) {
	origin := originOf(text)
	if covers(login, text) && len(m.origins) < maxOrigins && !slices.Contains(m.origins, origin) {
		m.origins = append(m.origins, origin)
	}
}

// keeps reports whether an area is one that the mirror is for.
func (m *mirror) keeps(login tokenvault.Login, a area) bool {
	frame, top, ok := tokenvault.StorageKey(a.key)
	return ok && covers(login, frame) && a.local == (top != "")
}

// change follows an event of a storage.
func (m *mirror) change(login tokenvault.Login, e cdp.Event) {
	var p struct {
		StorageID struct {
			StorageKey     string
			IsLocalStorage bool
		}
		Key, NewValue string
	}
	if json.Unmarshal(e.Params, &p) != nil {
		return
	}
	a := area{p.StorageID.StorageKey, p.StorageID.IsLocalStorage}
	if !m.keeps(login, a) {
		return
	}
	switch e.Method {
	case "DOMStorage.domStorageItemsCleared":
		m.replace(a, nil)
	case "DOMStorage.domStorageItemRemoved":
		m.remove(a, p.Key)
	default:
		m.set(a, p.Key, p.NewValue)
	}
}

func (m *mirror) remove(a area, name string) {
	if value, ok := m.areas[a][name]; ok {
		m.size -= len(name) + len(value)
		delete(m.areas[a], name)
	}
}

func (m *mirror) set(a area, name, value string) {
	m.remove(a, name)
	if m.size+len(name)+len(value) > maxMirrored {
		return
	}
	if m.areas == nil {
		m.areas = make(map[area]map[string]string)
	}
	if m.areas[a] == nil {
		m.areas[a] = make(map[string]string)
	}
	m.areas[a][name] = value
	m.size += len(name) + len(value)
}

// replace sets all of an area, as read from a live frame.
func (m *mirror) replace(a area, entries [][2]string) {
	for name := range m.areas[a] {
		m.remove(a, name)
	}
	for _, e := range entries {
		m.set(a, e[0], e[1])
	}
}
