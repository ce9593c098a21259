"""The same join on other engines, each as its documentation would write it."""
