# All attacks but those that the list, or the proxy, takes care of.
every = {
    "as it is",
    "a double slash",
    "a dot segment",
    "a parameter in the path",
    "a forged header",
    "a stolen token",
    "another host name",
    "another method",
    "another path",
    "no name at all",
}
on_the_list = {"as it is"}
same_path = {"a double slash", "a dot segment", "a parameter in the path"}
same_sender = {"a forged header", "a stolen token", "another host name"}
through = every - on_the_list - same_path - same_sender
