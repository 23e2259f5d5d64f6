from messenger.run.api import main

main()
