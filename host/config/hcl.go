package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	hclstrconv "github.com/hashicorp/hcl/hcl/strconv"
	"github.com/hashicorp/hcl/hcl/token"
)

// maxBrackets bounds how many lists and blocks a file opens.
const maxBrackets = 1000

// parseHCL reads HCL of version 1, the dialect of Vault's configuration.
func parseHCL(name string, data []byte) (root *object, err error) {
	// The parser panics on some malformed texts, for example of heredocs. A
	// configuration file must not be able to crash the server.
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("%s: parse HCL: %v", name, p)
		}
	}()
	// And it takes time quadratic in the depth of lists that are not well formed.
	if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets {
		return nil, fmt.Errorf("%s: parse HCL: more than %d brackets, which no configuration has", name, maxBrackets)
	}
	file, err := parser.Parse(data)
	if err != nil {
		if at, ok := errors.AsType[*parser.PosError](err); ok {
			return nil, fmt.Errorf("%s: parse HCL: %w", position{name, at.Pos.Line}, at.Err)
		}
		return nil, fmt.Errorf("%s: parse HCL: %w", name, err)
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s: parse HCL: holds no keys", name)
	}
	return convertList(position{name, 1}, list, 0)
}

// maxDepth bounds how deep objects and lists nest in one another.
const maxDepth = 32

func convertList(at position, list *ast.ObjectList, depth int) (*object, error) {
	o := &object{at: at}
	for _, item := range list.Items {
		e := entry{at: position{at.file, item.Pos().Line}}
		for i, key := range item.Keys {
			text, err := keyText(e.at, key)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				e.key = text
			} else {
				e.labels = append(e.labels, text)
			}
		}
		var err error
		if e.value, err = convertNode(e.at, item.Val, depth+1); err != nil {
			return nil, err
		}
		o.entries = append(o.entries, e)
	}
	return o, nil
}

func convertNode(at position, node ast.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nested more than %d deep", at, maxDepth)
	}
	switch n := node.(type) {
	case *ast.ObjectType:
		return convertList(position{at.file, n.Pos().Line}, n.List, depth)
	case *ast.ListType:
		values := make([]any, 0, len(n.List))
		for _, element := range n.List {
			value, err := convertNode(position{at.file, element.Pos().Line}, element, depth+1)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
		return values, nil
	case *ast.LiteralType:
		return convertLiteral(position{at.file, n.Pos().Line}, n.Token)
	default:
		return nil, fmt.Errorf("%s: parse HCL: neither value nor block", at)
	}
}

// convertLiteral reads the token itself where the library would panic.
func convertLiteral(at position, t token.Token) (any, error) {
	switch t.Type {
	case token.BOOL:
		return t.Text == "true", nil
	case token.NUMBER:
		n, err := strconv.ParseInt(t.Text, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: parse HCL: number out of range", at)
		}
		return n, nil
	case token.FLOAT:
		f, err := strconv.ParseFloat(t.Text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: parse HCL: number out of range", at)
		}
		return f, nil
	case token.STRING:
		s, err := hclstrconv.Unquote(t.Text)
		if err != nil {
			return nil, fmt.Errorf("%s: parse HCL: string is not well formed", at)
		}
		return s, nil
	case token.HEREDOC:
		s, ok := t.Value().(string)
		if !ok {
			return nil, fmt.Errorf("%s: parse HCL: heredoc is not well formed", at)
		}
		return s, nil
	default:
		return nil, fmt.Errorf("%s: parse HCL: unexpected %s", at, t.Type)
	}
}

func keyText(at position, key *ast.ObjectKey) (string, error) {
	if key.Token.Type == token.IDENT {
		return key.Token.Text, nil
	}
	text, err := hclstrconv.Unquote(key.Token.Text)
	if err != nil {
		return "", fmt.Errorf("%s: parse HCL: key is not well formed", at)
	}
	return text, nil
}
