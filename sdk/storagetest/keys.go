package storagetest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/sdk/storage"
)

// keyCases are about the names of keys.
func keyCases() []Case {
	return []Case{
		{ID: "C-07", Profile: Core, Promise: "Two keys are never one: what differs in a byte is another key, and is listed as it was written.", Run: noTwoKeysAreOne},
		{ID: "C-08", Profile: Core, Promise: "What is no key is refused with ErrInvalidKey, changes nothing and harms no later call.", Run: invalidKeys},
	}
}

// oddNames are names of one segment that stores, paths, URLs and file systems like to change.
func oddNames() []string {
	return []string{
		" ", " lead", "trail ", "a b", "a+b", "a%20b", "A B", "a%2Fb", "%2e%2e", "100%", "%", "%25", "a\\b", "a:b", "a;b", "a,b",
		"caf\u00e9", "cafe\u0301", "Caf\u00e9", "\U0001F600", "\U0001F468\u200d\U0001F469", "\u05d0\u05d1", "\u202Ea", "\ufeffa", "\ufffd", "\u2028",
		"...", "....", "a.", ".a", "a..b", "~", "~1", "*", "?", "?x=1", "#x", "&", "<x>", "'", `"`, "`", "$HOME", "${x}", "{}", "[]", "|", "!", "@", "^",
		"_", "__", "-", "--", "0", "00", "1", "zookeeper", "null", "nil", "key", "KEY", "Key", "k\u0131", "\u0131", "ss", "\u00df",
	}
}

func noTwoKeysAreOne(t *T) {
	n := t.open()
	names := oddNames()
	longest := min(n.limits.MaxKeyBytes, storage.MaxKeyBytes) - len(n.dir)
	names = append(names, strings.Repeat("k", longest), strings.Repeat("k", longest-1)+"l", strings.Repeat("k", longest-1),
		strings.Repeat("\u00e9", longest/2))
	for _, name := range names {
		n.put(name, "value of "+name)
	}
	deep := []string{"a/b", "a /b", "a/ b", "a%2Fb/c", "caf\u00e9/x", "cafe\u0301/x", "-/-", "~/~", strings.TrimSuffix(strings.Repeat("d/", longest/2), "/")}
	for _, name := range deep {
		n.put(name, "value of "+name)
	}
	for _, name := range slices.Concat(names, deep) {
		n.wantValue(name, "value of "+name)
	}
	want := slices.Clone(names)
	for _, name := range deep {
		first, _, _ := strings.Cut(name, "/")
		want = append(want, first+"/")
	}
	slices.Sort(want)
	n.wantNames("", "", 0, slices.Compact(want)...)
}

func invalidKeys(t *T) {
	n := t.open()
	n.put("kept", "1")
	dir := strings.TrimSuffix(n.dir, "/")
	keys := []string{
		"", "/", "/" + dir, dir + "/", dir + "//a", ".", "..", dir + "/..", dir + "/../" + dir + "/kept", dir + "/./kept",
		dir + "/a\x00", dir + "/a\nb", dir + "/a\x7f", dir + "/a\u0085", dir + "/\xff\xfe", dir + "/" + strings.Repeat("k", storage.MaxKeyBytes),
	}
	for _, key := range keys {
		if item, err := n.Get(t.ctx, key); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("get %q: got %s, %v, want ErrInvalidKey", key, short(item.Value), err)
		}
		for _, op := range []storage.Op{storage.Put(key, []byte("x")), storage.Delete(key)} {
			err := n.Write(t.ctx, []storage.Op{op})
			if !errors.Is(err, storage.ErrInvalidKey) || storage.OutcomeOf(err) != storage.Unapplied {
				t.Errorf("write %q: got %v, want ErrInvalidKey, not applied", key, err)
			}
		}
	}
	for _, prefix := range []string{"/", dir, dir + "//", "../", dir + "/\xff/"} {
		if names, err := n.names(prefix, "", 0); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("list %q: got %q, %v, want ErrInvalidKey", prefix, names, err)
		}
	}
	n.wantNames("", "", 0, "kept")
	n.wantValue("kept", "1")
	if n.ha != nil {
		_, err := n.Commit(t.ctx, storage.Guard{Key: n.dir + "..", Value: []byte("x")}, nil)
		if !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("commit with an invalid guard: got %v, want ErrInvalidKey", err)
		}
	}
	err := n.steady(func(ctx context.Context) error { return n.Write(ctx, []storage.Op{storage.Delete(n.dir + "kept")}) })
	if err != nil {
		t.Errorf("a good write afterwards: %v", err)
	}
}
