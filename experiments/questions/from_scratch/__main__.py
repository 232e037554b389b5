from experiments.from_scratch import main

main()
