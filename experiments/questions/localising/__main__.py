from experiments.localising import main

main()
