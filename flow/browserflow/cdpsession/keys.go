package cdpsession

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ai-token-vault/tokenvault"
)

const (
	modAlt, modCtrl, modMeta = 1, 2, 4
)

// key presses or releases a key. The lock is held.
func (s *Session) key(t *target, in tokenvault.ViewInput) error {
	press, ok := map[string]bool{"down": true, "up": false}[in.Action]
	if !ok {
		return refuse("action", "is not known")
	}
	key, code, modifiers := in.Key.Reveal(), in.Code.Reveal(), in.Modifiers&15
	vk := virtualKey(key, code)
	params := object{
		"type": "keyUp", "key": key, "code": code, "modifiers": modifiers, "location": location(code),
		"windowsVirtualKeyCode": vk, "nativeVirtualKeyCode": vk, "isKeypad": strings.HasPrefix(code, "Numpad"),
	}
	if press {
		params["type"], params["autoRepeat"] = "rawKeyDown", in.Repeat
		if text := keyText(key, in.Text.Reveal(), modifiers); text != "" {
			params["type"], params["text"], params["unmodifiedText"] = "keyDown", text, text
		}
		if command := editing(key, modifiers); command != "" {
			params["commands"] = []string{command}
		}
	}
	s.input(t, "Input.dispatchKeyEvent", params)
	return nil
}

// keyText returns the text that a key enters: what the viewer says, or what the key
// is, unless it is a shortcut.
func keyText(key, text string, modifiers int) string {
	switch {
	case key == "Enter":
		return "\r"
	case modifiers&(modCtrl|modMeta) != 0 && modifiers&modAlt == 0:
		return ""
	case text != "":
		return text
	case utf8.RuneCountInString(key) == 1 && modifiers&(modAlt|modCtrl|modMeta) == 0:
		return key
	}
	return ""
}

// editing returns the editing command of a shortcut, which a browser without a
// window of its own does not know by itself.
func editing(key string, modifiers int) string {
	if modifiers&(modCtrl|modMeta) == 0 || modifiers&modAlt != 0 {
		return ""
	}
	if strings.EqualFold(key, "z") && modifiers&8 != 0 {
		return "redo"
	}
	return map[string]string{"a": "selectAll", "z": "undo", "y": "redo", "x": "cut", "c": "copy"}[strings.ToLower(key)]
}

// location tells keys that exist twice apart (UI Events, KeyboardEvent.location).
func location(code string) int {
	switch code {
	case "ShiftLeft", "ControlLeft", "AltLeft", "MetaLeft":
		return 1
	case "ShiftRight", "ControlRight", "AltRight", "MetaRight":
		return 2
	}
	return 0
}

// virtualKey returns the code that Windows has for a key: old pages look at it, as
// KeyboardEvent.keyCode.
func virtualKey(key, code string) int {
	if vk, ok := namedKeys()[key]; ok {
		return vk
	}
	if digit, ok := strings.CutPrefix(code, "Digit"); ok && len(digit) == 1 {
		return int(digit[0])
	}
	if letter, ok := strings.CutPrefix(code, "Key"); ok && len(letter) == 1 && unicode.IsUpper(rune(letter[0])) {
		// The letter that is entered counts, not the place on the board.
		if r := unicode.ToUpper(firstRune(key)); r >= 'A' && r <= 'Z' {
			return int(r)
		}
		return int(letter[0])
	}
	if vk, ok := codedKeys()[code]; ok {
		return vk
	}
	if r := unicode.ToUpper(firstRune(key)); utf8.RuneCountInString(key) == 1 && (r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
		return int(r)
	}
	return 0
}

func firstRune(text string) rune {
	r, _ := utf8.DecodeRuneInString(text)
	return r
}

func namedKeys() map[string]int {
	return map[string]int{
		"Backspace": 8, "Tab": 9, "Clear": 12, "Enter": 13, "Shift": 16, "Control": 17, "Alt": 18, "Pause": 19, "CapsLock": 20, "Escape": 27,
		" ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
		"Insert": 45, "Delete": 46, "Meta": 91, "ContextMenu": 93, "NumLock": 144, "ScrollLock": 145, "AltGraph": 225,
		"F1": 112, "F2": 113, "F3": 114, "F4": 115, "F5": 116, "F6": 117, "F7": 118, "F8": 119, "F9": 120, "F10": 121, "F11": 122, "F12": 123,
	}
}

func codedKeys() map[string]int {
	return map[string]int{
		"Semicolon": 186, "Equal": 187, "Comma": 188, "Minus": 189, "Period": 190, "Slash": 191, "Backquote": 192, "BracketLeft": 219,
		"Backslash": 220, "BracketRight": 221, "Quote": 222, "IntlBackslash": 226,
		"Numpad0": 96, "Numpad1": 97, "Numpad2": 98, "Numpad3": 99, "Numpad4": 100, "Numpad5": 101, "Numpad6": 102, "Numpad7": 103, "Numpad8": 104, "Numpad9": 105,
		"NumpadMultiply": 106, "NumpadAdd": 107, "NumpadSubtract": 109, "NumpadDecimal": 110, "NumpadDivide": 111,
	}
}
