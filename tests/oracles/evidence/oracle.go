// Reads evidence with Go's own sumdb/note and tlog, which know nothing of Quantrac: one JSON request a line on
// stdin, one JSON answer a line on stdout. An answer without "error" means that Go believes it.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Do    string
	Data  []byte      // a note or a receipt; what to sign
	Leaf  []byte      // the bytes of an entry
	Key   string      // signer key, for "sign"
	Keys  []string    // verifier keys; those of type 4 are witnesses
	Index int64       // of an entry
	Old   int64       // size
	Size  int64       // of the tree
	Root  tlog.Hash   // of the tree
	Root0 tlog.Hash   // of the old tree
	Proof []tlog.Hash // inclusion or consistency
}

type answer struct {
	Error string      `json:"error,omitempty"`
	Text  string      `json:"text,omitempty"`
	Names []string    `json:"names,omitempty"`
	Data  []byte      `json:"data,omitempty"`
	Root  *tlog.Hash  `json:"root,omitempty"`
	Proof []tlog.Hash `json:"proof,omitempty"`
}

// A witness key: C2SP tlog-cosignature, which sumdb/note does not have.
type witness struct {
	name   string
	id     uint32
	public ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.id }
func (w witness) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(w.public, append([]byte(head), text...), sig[8:])
}

func verifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 {
		id, err := strconv.ParseUint(parts[1], 16, 32)
		key, err2 := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && err2 == nil && len(key) == 33 && key[0] == 4 {
			return witness{parts[0], uint32(id), ed25519.PublicKey(key[1:])}, nil
		}
	}
	return note.NewVerifier(vkey)
}

func open(data []byte, vkeys []string) (*note.Note, error) {
	var known []note.Verifier
	for _, vkey := range vkeys {
		v, err := verifier(vkey)
		if err != nil {
			return nil, err
		}
		known = append(known, v)
	}
	return note.Open(data, note.VerifierList(known...))
}

func checkpoint(text string) (size int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return 0, root, errors.New("too few lines")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err == nil {
		root, err = tlog.ParseHash(lines[2])
	}
	return size, root, err
}

func receipt(q request) error {
	head, signed, found := bytes.Cut(q.Data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a receipt")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, h)
	}
	n, err := open(signed, q.Keys)
	if err != nil {
		return err
	}
	if len(n.Sigs) != len(q.Keys) {
		return fmt.Errorf("%d of %d keys have signed", len(n.Sigs), len(q.Keys))
	}
	size, root, err := checkpoint(n.Text)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(q.Leaf))
}

// The log that "append" fills: Go's own storage of the tree.
type storage []tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, i := range indexes {
		found = append(found, s[i])
	}
	return found, nil
}

var stored storage
var entries int64

func do(q request) (a answer, err error) {
	switch q.Do {
	case "note":
		var n *note.Note
		if n, err = open(q.Data, q.Keys); err == nil {
			a.Text = n.Text
			for _, s := range n.Sigs {
				a.Names = append(a.Names, s.Name)
			}
		}
	case "sign":
		var s note.Signer
		if s, err = note.NewSigner(q.Key); err == nil {
			a.Data, err = note.Sign(&note.Note{Text: string(q.Data)}, s)
		}
	case "tree":
		var t tlog.Tree
		if t, err = tlog.ParseTree(q.Data); err == nil {
			a.Data, a.Root = tlog.FormatTree(t), &t.Hash
		}
	case "receipt":
		err = receipt(q)
	case "inclusion":
		err = tlog.CheckRecord(q.Proof, q.Size, q.Root, q.Index, tlog.RecordHash(q.Leaf))
	case "consistency":
		err = tlog.CheckTree(q.Proof, q.Size, q.Root, q.Old, q.Root0)
	case "append":
		var hashes []tlog.Hash
		if hashes, err = tlog.StoredHashes(entries, q.Leaf, stored); err == nil {
			stored = append(stored, hashes...)
			entries++
		}
	case "root":
		var root tlog.Hash
		root, err = tlog.TreeHash(q.Size, stored)
		a.Root = &root
	case "prove inclusion":
		a.Proof, err = tlog.ProveRecord(q.Size, q.Index, stored)
	case "prove consistency":
		a.Proof, err = tlog.ProveTree(q.Size, q.Old, stored)
	default:
		err = errors.New("unknown request")
	}
	return a, err
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q request
		var a answer
		err := json.Unmarshal(in.Bytes(), &q)
		if err == nil {
			a, err = do(q)
		}
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if out.Encode(a) != nil {
			os.Exit(1)
		}
	}
}
