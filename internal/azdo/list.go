package azdo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// maxList is the maximum size of an answer that is read item by item. A list of 10,000 agents
// with all variables of their machines may have a hundred megabytes.
const maxList = 512 << 20

// decodeEach returns a function that decodes an item and calls each with it.
func decodeEach[T any](each func(T)) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		each(item)
		return nil
	}
}

// unexpectedEnd is the text of the error that json.Decoder.Token returns from Go 1.27 on if the
// input ends within a value. Before, it returned io.EOF.
const unexpectedEnd = "unexpected end of JSON input"

// readList reads a list, {"count":2,"value":[{},{}]}, and calls item to decode each item.
// The value may be missing or null. If the body is not a list, the error is an
// *invalidResponse. Other errors are those of the connection.
func readList(body io.Reader, item func(*json.Decoder) error) error {
	buffered := bufio.NewReader(io.LimitReader(body, maxList))
	if start, err := buffered.Peek(3); err == nil && bytes.Equal(start, byteOrderMark) {
		_, _ = buffered.Discard(len(start))
	}
	window := &itemReader{from: buffered}
	window.decoder = json.NewDecoder(window)
	err := decodeList(window.decoder, item)
	var (
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	switch {
	case err == nil: // read the rest, so that the connection can be reused
		_, err = io.Copy(io.Discard, buffered)
	case errors.Is(err, io.EOF), errors.As(err, &syntax) && syntax.Error() == unexpectedEnd: // the answer is cut
		err = io.ErrUnexpectedEOF
	case errors.As(err, &syntax), errors.As(err, &typed):
		err = &invalidResponse{errors.New(oneLine(err.Error()))}
	}
	return err
}

// itemReader is the reader of a list's decoder. It fails if the decoder buffers more than
// maxBody bytes: then one item, or another part of the answer, is too large.
type itemReader struct {
	from    io.Reader
	decoder *json.Decoder
	read    int64
}

func (r *itemReader) Read(b []byte) (int, error) {
	if r.read-r.decoder.InputOffset() > maxBody {
		return 0, &invalidResponse{errors.New("a part of the list is too long")}
	}
	n, err := r.from.Read(b)
	r.read += int64(n)
	return n, err
}

func decodeList(d *json.Decoder, item func(*json.Decoder) error) error {
	switch t, err := d.Token(); {
	case err != nil || t == nil: // null is an empty list
		return err
	case t != json.Delim('{'):
		return &invalidResponse{errors.New("it is no list")}
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if text, _ := name.(string); strings.EqualFold(text, "value") {
			err = decodeItems(d, item)
		} else {
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func decodeItems(d *json.Decoder, item func(*json.Decoder) error) error {
	switch t, err := d.Token(); {
	case err != nil || t == nil:
		return err
	case t != json.Delim('['):
		return &invalidResponse{errors.New("it is no list")}
	}
	for d.More() {
		if err := item(d); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
