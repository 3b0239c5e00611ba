// Nothing to do at start-up: the page signs in.
App({});
