// The functions of `python_app.py` with Inngest's SDK for Go.
//
// Each step writes a line to the file MARKS; a held one ends when a file of its id appears in GATES.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/inngest/inngestgo"
	sdkerrors "github.com/inngest/inngestgo/errors"
	"github.com/inngest/inngestgo/group"
	"github.com/inngest/inngestgo/step"
)

const nothing = ""

var (
	app    = os.Getenv("APP")
	client = must(inngestgo.NewClient(inngestgo.ClientOpts{AppID: app}))

	// Several calls are executed at once.
	lock  sync.Mutex
	tries = map[string]int{}
)

type data struct {
	ID       string `json:"id,omitempty"`
	ReportID string `json:"reportId,omitempty"`
	Hold     bool   `json:"hold,omitempty"`
	At       string `json:"at,omitempty"`
}

// ended is the data of an event that tells how a run ended.
type ended struct {
	Event inngestgo.GenericEvent[data] `json:"event"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

func must[T any](found T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return found
}

func mark(what, id string) {
	lock.Lock()
	defer lock.Unlock()
	marks := must(os.OpenFile(os.Getenv("MARKS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))
	defer marks.Close()
	must(fmt.Fprintf(marks, "%s\n", must(json.Marshal(map[string]string{"what": what, "id": id}))))
}

// marked executes a step that only writes a line.
func marked(ctx context.Context, name, what, id string) error {
	_, err := step.Run(ctx, name, func(context.Context) (string, error) {
		mark(what, id)
		return nothing, nil
	})
	return err
}

func made[T any](options inngestgo.FunctionOpts, event string, condition *string, body inngestgo.SDKFunction[T]) {
	must(inngestgo.CreateFunction(client, options, inngestgo.EventTrigger(event, condition), body))
}

func cancelOn(event, condition string) []inngestgo.ConfigCancel {
	return []inngestgo.ConfigCancel{{Event: event, If: &condition}}
}

func report(ctx context.Context, input inngestgo.Input[data]) (any, error) {
	id := input.Event.Data.ReportID
	pages, err := step.Run(ctx, "load", func(context.Context) (int, error) {
		mark("load", id)
		return 2, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = step.Run(ctx, "render", func(context.Context) (string, error) {
		mark("render", id)
		for input.Event.Data.Hold {
			if _, err := os.Stat(filepath.Join(os.Getenv("GATES"), id)); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		return nothing, nil
	})
	if err != nil {
		return nil, err
	}
	return nil, marked(ctx, "save", fmt.Sprintf("save %d", pages), id)
}

func cleanup(ctx context.Context, input inngestgo.Input[ended]) (any, error) {
	return nil, marked(ctx, "clean", input.Event.Name, input.Event.Data.Event.Data.ReportID)
}

func reminder(ctx context.Context, input inngestgo.Input[data]) (any, error) {
	at, err := time.Parse(time.RFC3339, input.Event.Data.At)
	if err != nil {
		return nil, err
	}
	step.SleepUntil(ctx, "until", at)
	return nil, marked(ctx, "push", "push", input.Event.Data.ID)
}

func parallel(ctx context.Context, input inngestgo.Input[data]) (any, error) {
	id := input.Event.Data.ID
	side := func(what, of string) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			return step.Run(ctx, what, func(context.Context) (string, error) {
				mark(what, id)
				return of, nil
			})
		}
	}
	both := group.Parallel(ctx, side("left", "L"), side("right", "R"), func(ctx context.Context) (any, error) {
		step.Sleep(ctx, "nap", time.Second)
		return nil, nil
	})
	if err := both.AnyError(); err != nil {
		return nil, err
	}
	return nil, marked(ctx, "join", fmt.Sprintf("joined %v%v", both[0].Value, both[1].Value), id)
}

func flaky(ctx context.Context, input inngestgo.Input[data]) (any, error) {
	id := input.Event.Data.ID
	_, err := step.Run(ctx, "second", func(context.Context) (string, error) {
		lock.Lock()
		tries[id]++
		try := tries[id]
		lock.Unlock()
		mark(fmt.Sprintf("try %d", try), id)
		if try < 2 {
			return nothing, sdkerrors.RetryAtError(errors.New("not yet"), time.Now().Add(time.Second))
		}
		return nothing, nil
	})
	if err != nil {
		return nil, err
	}
	_, caught := step.Run(ctx, "never", func(context.Context) (string, error) {
		return nothing, sdkerrors.NoRetryError(errors.New("out of paper"))
	})
	return nil, marked(ctx, "after", fmt.Sprintf("caught %v", caught), id)
}

func relay(ctx context.Context, input inngestgo.Input[data]) (any, error) {
	asked := inngestgo.GenericEvent[data]{Name: "report/requested", Data: data{ReportID: input.Event.Data.ID}}
	return step.Send(ctx, "ask", asked)
}

func doomed(context.Context, inngestgo.Input[data]) (any, error) {
	return nil, errors.New("as asked")
}

// onFailure is a function like any other: the SDK has no option for it.
func onFailure(_ context.Context, input inngestgo.Input[ended]) (any, error) {
	mark("failed "+input.Event.Data.Error.Message, input.Event.Data.Event.Data.ID)
	return nil, nil
}

func main() {
	of := func(function string) *string {
		return inngestgo.StrPtr(fmt.Sprintf("event.data.function_id == '%s-%s'", app, function))
	}
	made(inngestgo.FunctionOpts{
		ID:     "report",
		Cancel: cancelOn("report/cancelled", "event.data.reportId == async.data.reportId"),
	}, "report/requested", nil, report)
	made(inngestgo.FunctionOpts{ID: "cleanup"}, "inngest/function.cancelled", of("report"), cleanup)
	made(inngestgo.FunctionOpts{
		ID:     "reminder",
		Cancel: cancelOn("reminder/deleted", "event.data.id == async.data.id"),
	}, "reminder/created", nil, reminder)
	made(inngestgo.FunctionOpts{ID: "parallel"}, "parallel/requested", nil, parallel)
	made(inngestgo.FunctionOpts{ID: "flaky", Retries: inngestgo.IntPtr(1)}, "flaky/requested", nil, flaky)
	made(inngestgo.FunctionOpts{ID: "relay"}, "relay/requested", nil, relay)
	made(inngestgo.FunctionOpts{ID: "doomed", Retries: inngestgo.IntPtr(0)}, "doomed/requested", nil, doomed)
	made(inngestgo.FunctionOpts{ID: "on-failure"}, "inngest/function.failed", of("doomed"), onFailure)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), client.Serve()))
}
